//! Modules that behave, and modules that do not.

mod building;
mod hostile;
mod loading;
mod module;
