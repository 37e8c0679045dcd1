//! Modules that behave, and modules that do not.

mod hostile;
mod loading;
mod module;
