//! Deployments laid out: from a state of the rules to what users are evaluated by.

use super::versions::Loaded;
use super::{ActError, Manager};
use crate::lifecycle::{Arm, Deployment, RulesState, Share, Subject, VersionId};
use crate::ruleset::Ruleset;
use muster_core::{AudienceKey, Engine, Settings, Standing};
use std::collections::BTreeSet;

impl Manager {
    /// Everything that users are evaluated by in a state; nothing while no version is active.
    pub(super) fn lay_out(
        &mut self,
        workspace: &str,
        state: &RulesState,
        before: Option<&Deployment>,
    ) -> Result<Option<Deployment>, ActError> {
        let Some(active) = &state.active else { return Ok(None) };
        let loaded = self.versions.load_version(workspace, active)?;
        let shadowed = |of| state.shadow.as_ref().is_some_and(|shadow| shadow.of == of);
        let candidate = state.candidate.as_ref();
        let candidate = candidate.filter(|c| c.share > Share::NONE || shadowed(Subject::Rules));
        let mut engines = vec![(Engine::State, state.state_engine > Share::NONE)];
        engines.push((Engine::Scan, state.state_engine < Share::ALL));
        engines.retain(|(_, is_used)| *is_used || shadowed(Subject::Engine));
        let previous = match &state.previous {
            Some(previous) => self.loaded_or_none(workspace, previous),
            None => None,
        };
        let mut arms = Vec::new();
        for (engine, _) in &engines {
            let ruleset = self.ruleset(&loaded, previous.as_ref(), *engine, state)?;
            arms.push(Arm::new(Some(active.clone()), false, *engine, ruleset));
        }
        if let Some(candidate) = candidate {
            let tried = self.versions.load_version(workspace, &candidate.version)?;
            for (engine, _) in &engines {
                let ruleset = self.ruleset(&tried, Some(&loaded), *engine, state)?;
                arms.push(Arm::new(Some(candidate.version.clone()), true, *engine, ruleset));
            }
        }
        Ok(Some(Deployment::new(state.clone(), arms, before)))
    }

    /// The version before serves only to be gone back to: that it does not load is no reason to stop.
    fn loaded_or_none(&mut self, workspace: &str, id: &VersionId) -> Option<Loaded> {
        match self.versions.load_version(workspace, id) {
            Ok(loaded) => Some(loaded),
            Err(error) => {
                tracing::warn!(workspace, version = %id, "cannot load the version before: {error}");
                None
            }
        }
    }

    pub(super) fn ruleset(
        &self,
        loaded: &Loaded,
        kept: Option<&Loaded>,
        engine: Engine,
        state: &RulesState,
    ) -> Result<Ruleset, ActError> {
        let standing = Standing {
            known: self.known.iter().map(|(key, id)| (*key, id.clone())).collect(),
            paused: state.paused.iter().map(|id| AudienceKey::of(id)).collect::<BTreeSet<_>>(),
            without: loaded.without.clone(),
            kept: &[],
        };
        let settings = Settings { engine, ..self.versions.loader().settings() };
        let kept = kept.map(|kept| kept.modules.clone()).unwrap_or_default();
        Ok(Ruleset::new(loaded.modules.clone(), kept, settings, standing)?)
    }
}
