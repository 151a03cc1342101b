//! The dashboard in a real browser: Chromium without a screen, driven through WebDriver. Debian's packages `chromium` and
//! `chromium-driver` have it; `cargo xtask test` installs them.

mod accessible;
mod driver;
mod journey;
