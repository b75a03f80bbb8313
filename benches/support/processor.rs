//! Processor time of a process and of the whole machine, as Linux counts it.

use anyhow::Context;

/// Linux counts in hundredths of a second, whatever its own clock.
const TICKS_PER_SECOND: f64 = 100.0;

/// The seconds of processor time that a process has used, all its threads together.
pub(crate) fn of_process(id: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{id}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    // The name before it may hold blanks.
    let (_, fields) = text.rsplit_once(')').with_context(|| path.clone())?;
    let mut times = fields.split_ascii_whitespace().skip(11).map(str::parse::<f64>);
    let (Some(Ok(user)), Some(Ok(system))) = (times.next(), times.next()) else {
        anyhow::bail!("{path} is not as expected: {text}");
    };
    Ok((user + system) / TICKS_PER_SECOND)
}

/// The seconds of processor time that all processes of the machine have used.
pub(crate) fn of_machine() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().unwrap_or_default();
    let fields: Vec<f64> =
        line.split_ascii_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal
    let [user, nice, system, _, _, irq, softirq, ..] = fields.as_slice() else {
        anyhow::bail!("/proc/stat is not as expected: {line}");
    };
    Ok((user + nice + system + irq + softirq) / TICKS_PER_SECOND)
}

/// The resident memory of a process in bytes.
pub(crate) fn resident(id: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{id}/status");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kib = line.split_ascii_whitespace().next().and_then(|number| number.parse::<f64>().ok());
    Ok(kib.with_context(|| format!("{path} names no resident memory"))? * 1_024.0)
}

/// How many cores this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
