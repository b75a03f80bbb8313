//! Reading a HEM's frames.

use crate::{FrameFault, HemFrame};

pub(crate) fn decode(line: &[u8], max_batch: usize) -> Result<HemFrame, FrameFault> {
    todo!()
}
