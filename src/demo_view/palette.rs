//! The colours of the demo: one for each energy, one for what is odd, and three greys.

use ratatui::style::Color;

pub(super) const SOLAR: Color = Color::Indexed(214);
pub(super) const BATTERY: Color = Color::Indexed(78);
pub(super) const GRID: Color = Color::Indexed(141);
pub(super) const EXPORT: Color = Color::Indexed(80);
pub(super) const USE: Color = Color::Indexed(75);
pub(super) const ALARM: Color = Color::Indexed(203);
pub(super) const WAITING: Color = Color::Indexed(179);
pub(super) const TEXT: Color = Color::Indexed(252);
pub(super) const QUIET: Color = Color::Indexed(245);
pub(super) const FAINT: Color = Color::Indexed(239);
pub(super) const TITLE: Color = Color::Indexed(24);
pub(super) const TO_COPY: Color = Color::Indexed(117);
