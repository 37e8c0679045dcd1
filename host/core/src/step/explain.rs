//! What an audience's decision rests on: the truth of its conditions, and the values behind them.

use super::evaluate::Findings;
use super::{Input, Request, Session, Verdicts};
use crate::codec::Damaged;
use crate::decide::Decide;
use crate::feature::Feature;
use crate::module::AudienceKey;
use crate::plan::{ConditionKind, Engine, FeaturePlan, Origin, Plan};
use crate::value::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What an explanation comes to.
#[derive(Debug)]
pub enum Explanation {
    /// What the decision rests on. Nothing of an audience or a state that the plan does not know.
    Done(Vec<Ground>),
    /// It must be asked for again with these parts of history, as a step is.
    Needs(Vec<Request>, Verdicts),
}

/// A feature, or membership in another audience, that an audience looks at.
#[derive(Clone, Debug, PartialEq)]
pub struct Ground {
    /// What it is.
    pub of: Looked,
    /// What it is worth, exactly.
    pub value: Option<Value>,
    /// The comparisons made on it, and whether they hold.
    pub conditions: Vec<(String, bool)>,
}

/// What an audience looks at.
#[derive(Clone, Debug, PartialEq)]
pub enum Looked {
    /// A value.
    Feature(Feature),
    /// Membership in the audience of that id.
    Member(Arc<str>),
}

/// Says what the user's last decision in an audience rests on. Messages and instant of the input are
/// not looked at.
///
/// # Errors
/// When the stored bytes do not decode.
pub fn explain(
    plan: &Plan,
    input: Input<'_>,
    audience: AudienceKey,
    decide: &mut dyn Decide,
) -> Result<Explanation, Damaged> {
    let mut session = Session::open(plan, input, decide)?;
    let known = plan.audience_by_key.get(&audience).copied();
    let audience = known.filter(|_| session.user.rules == plan.fingerprint);
    let Some(audience) = audience else { return Ok(Explanation::Done(Vec::new())) };
    let at = session.user.evaluated_at;
    let audience = &plan.audiences[audience];
    let conditions: BTreeSet<usize> = audience.conditions.iter().map(|(_, at)| *at).collect();
    let mut features: BTreeSet<usize> = audience.values.iter().map(|(_, at)| *at).collect();
    let mut grounds = Vec::new();
    for condition in &conditions {
        match &plan.conditions[*condition].kind {
            ConditionKind::Compare { feature, .. } => {
                features.insert(*feature);
            }
            ConditionKind::Member(other) => {
                let other = &plan.audiences[*other];
                let is_in = session.profile.memberships.since(other.key).is_some();
                let value = Some(Value::Boolean(is_in));
                let of = Looked::Member(other.id.clone());
                grounds.push(Ground { of, value, conditions: Vec::new() });
            }
        }
    }
    let values = match plan.settings.engine {
        Engine::State => {
            let mut findings = Findings::new(plan);
            let values = features.iter().map(|feature| session.value(*feature, &mut findings, at));
            values.collect::<Result<Vec<Option<Value>>, Damaged>>()?
        }
        Engine::Scan => session.scan_values(&features, at),
    };
    if !session.needs.is_empty() {
        return Ok(Explanation::Needs(session.needs, session.verdicts));
    }
    for (feature, value) in features.iter().zip(values) {
        let plan_of = &plan.features[*feature];
        let compared = plan_of.conditions.iter().filter(|condition| conditions.contains(condition));
        let compared = compared.filter_map(|condition| match &plan.conditions[*condition].kind {
            ConditionKind::Compare { comparison, .. } => {
                Some((comparison.to_string(), comparison.holds(value.as_ref())))
            }
            ConditionKind::Member(_) => None,
        });
        let conditions = compared.collect();
        grounds.push(Ground { of: Looked::Feature(plan.feature_of(plan_of)), value, conditions });
    }
    Ok(Explanation::Done(grounds))
}

impl Plan {
    fn feature_of(&self, feature: &FeaturePlan) -> Feature {
        match &feature.origin {
            Origin::Attribute(name) => Feature::Attribute(name.clone()),
            Origin::Series { series, aggregate, window } => {
                let series = &self.series[*series];
                let (selector, of) = (series.selector.clone(), series.of.clone());
                Feature::Events { selector, aggregate: *aggregate, of, window: *window }
            }
        }
    }
}
