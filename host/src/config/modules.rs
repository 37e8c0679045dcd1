//! The settings of rule modules.

use super::duration;
use crate::guest::{Compiler, GuestSettings, ModuleLimits, STACK_BYTES_LIMIT};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Rule modules.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Modules {
    /// Where compiled code is kept; empty keeps it beside the store.
    pub artefacts: PathBuf,
    /// The executable of Muster that compiles; empty takes the one that runs.
    pub compiler: PathBuf,
    /// What each module may cost.
    pub limits: LimitSettings,
    /// What single modules may cost, by their names; complete.
    pub limits_of: BTreeMap<String, LimitSettings>,
}

/// What a module may cost, as [`ModuleLimits`] says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitSettings {
    /// Bytes of a component.
    pub component_bytes: usize,
    /// Bytes of a manifest.
    pub manifest_bytes: usize,
    /// Processor time of compiling.
    #[serde(deserialize_with = "duration")]
    pub compile_time: Duration,
    /// Address space of compiling.
    pub compile_memory_bytes: u64,
    /// Linear memory of an instance.
    pub memory_bytes: usize,
    /// Elements of a table.
    pub table_elements: usize,
    /// Stack of a call.
    pub stack_bytes: usize,
    /// Time of a call of `evaluate` or `select`.
    #[serde(deserialize_with = "duration")]
    pub evaluate_time: Duration,
    /// Time of a call of `describe`.
    #[serde(deserialize_with = "duration")]
    pub describe_time: Duration,
    /// Bytes of an answer of `evaluate` or `select`.
    pub output_bytes: usize,
}

/// Gives the limits of single modules what they leave as it is for all.
pub(super) fn complete(all: &mut toml::Table) {
    let Some(toml::Value::Table(modules)) = all.get_mut("modules") else { return };
    let Some(toml::Value::Table(limits)) = modules.get("limits").cloned() else { return };
    let Some(toml::Value::Table(limits_of)) = modules.get_mut("limits_of") else { return };
    for (_, own) in limits_of.iter_mut() {
        if let toml::Value::Table(own) = own {
            let changed = std::mem::replace(own, limits.clone());
            super::merge(own, changed);
        }
    }
}

impl Modules {
    pub(super) fn check(&self) -> Result<(), String> {
        let named =
            self.limits_of.iter().map(|(name, limits)| (format!("limits_of.{name}"), limits));
        for (table, limits) in std::iter::once(("limits".to_string(), &self.limits)).chain(named) {
            let stack = limits.stack_bytes;
            if stack == 0 || stack > STACK_BYTES_LIMIT {
                return Err(format!(
                    "`modules.{table}.stack_bytes` of {stack}: write 1 to {STACK_BYTES_LIMIT}, which \
                     is what a thread has to give"
                ));
            }
        }
        Ok(())
    }

    /// What an engine for modules is made with.
    ///
    /// # Errors
    /// When no compiler is named, and the system does not tell what this process runs.
    pub fn guest_settings(&self) -> std::io::Result<GuestSettings> {
        let limits_of = self.limits_of.iter().map(|(name, own)| (name.clone(), own.into()));
        Ok(GuestSettings {
            limits: (&self.limits).into(),
            limits_of: limits_of.collect(),
            compiler: match self.compiler.as_os_str().is_empty() {
                true => Compiler::this_executable()?,
                false => Compiler::Child(self.compiler.clone()),
            },
            ..GuestSettings::default()
        })
    }
}

impl From<&LimitSettings> for ModuleLimits {
    fn from(settings: &LimitSettings) -> ModuleLimits {
        ModuleLimits {
            component_bytes_max: settings.component_bytes,
            manifest_bytes_max: settings.manifest_bytes,
            compile_time_max: settings.compile_time,
            compile_memory_bytes_max: settings.compile_memory_bytes,
            memory_bytes_max: settings.memory_bytes,
            table_elements_max: settings.table_elements,
            stack_bytes_max: settings.stack_bytes,
            evaluate_time_max: settings.evaluate_time,
            describe_time_max: settings.describe_time,
            output_bytes_max: settings.output_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use crate::guest::ModuleLimits;

    #[test]
    fn the_defaults_are_those_of_the_library() {
        let config = Config::parse("").unwrap();
        assert_eq!(ModuleLimits::from(&config.modules.limits), ModuleLimits::default());
    }

    #[test]
    fn limits_are_raised_for_one() {
        let text = "[modules.limits]\nmemory_bytes = 7\n\
                    [modules.limits_of.script]\nevaluate_time = \"2s\"";
        let settings = Config::parse(text).unwrap().modules.guest_settings().unwrap();
        let script = settings.limits_of("script");
        assert_eq!((script.memory_bytes_max, script.evaluate_time_max.as_secs()), (7, 2));
        assert_eq!(settings.limits_of("other"), &settings.limits);
    }

    #[test]
    fn wrong_limits_are_said() {
        let wrong = |text: &str| Config::parse(text).unwrap_err();
        let unknown = wrong("[modules.limits_of.script]\nmemory = 5");
        assert!(unknown.starts_with("line 2: unknown field `memory`"), "{unknown}");
        let deep = wrong("[modules.limits_of.script]\nstack_bytes = 2000000");
        assert!(deep.contains("`modules.limits_of.script.stack_bytes` of 2000000"), "{deep}");
    }
}
