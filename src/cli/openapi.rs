//! `memcloud openapi`: the document that describes REST.

use anyhow::Context;

use super::print;

pub(super) fn run() -> anyhow::Result<()> {
    print(crate::api::openapi().to_pretty_json().context("the document cannot be written")?)
}
