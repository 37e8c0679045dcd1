//! The rules of the tests: modules of which the audiences are decided by lists of conditions.

use crate::{
    Audience, Condition, Decide, DecideError, Decimal, Event, Feature, Module, Question, Selection,
    Value,
};
use proptest::prelude::*;

/// The predicates of the modules, by their index.
const PREDICATES: [fn(&Event) -> bool; 2] = [
    |event| event.property("v").and_then(Value::number).is_some_and(is_even),
    |event| event.property("v").is_none() || event.time.milliseconds() % 3 == 0,
];

fn is_even(number: Decimal) -> bool {
    number.billionths() % 2_000_000_000 == 0
}

/// Modules, and who is in their audiences.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    pub(super) modules: Vec<Module>,
    audiences: Vec<Vec<Rule>>,
}

/// Who is in an audience: those for whom every condition is as it says, and the value is even.
#[derive(Clone, Debug)]
struct Rule {
    conditions: Vec<(u32, bool)>,
    even: Option<u32>,
}

/// An audience before it is known how many conditions and values there are: the places go round.
#[derive(Clone, Debug)]
pub(super) struct Drawn {
    pub(super) conditions: Vec<(usize, bool)>,
    pub(super) even: Option<usize>,
    /// Whether the module says that nobody is in for whom a condition is otherwise.
    pub(super) says_so: bool,
}

pub(super) fn drawn() -> impl Strategy<Value = Drawn> {
    let conditions = proptest::collection::vec((0usize..8, any::<bool>()), 1..4);
    let even = proptest::option::weighted(0.2, 0usize..8);
    (conditions, even, any::<bool>()).prop_map(|(conditions, even, says_so)| Drawn {
        conditions,
        even,
        says_so,
    })
}

impl Rules {
    /// A module with an audience of each condition.
    pub(super) fn each(conditions: &[Condition]) -> Rules {
        let mut rules = Rules::default();
        let rule = |condition| Rule { conditions: vec![(condition, true)], even: None };
        let each = (0u32..).zip(conditions).map(|(at, _)| (rule(at), false));
        rules.add("a", conditions.to_vec(), each.collect());
        rules
    }

    /// A module with an audience of whoever fulfils all conditions; nobody else is in, as it says.
    pub(super) fn all(conditions: &[Condition]) -> Rules {
        let all = (0u32..).zip(conditions).map(|(at, _)| (at, true)).collect();
        let mut rules = Rules::default();
        rules.add("a", conditions.to_vec(), vec![(Rule { conditions: all, even: None }, true)]);
        rules
    }

    /// A module of the first audiences, and one of the second, which refer to the first too.
    pub(super) fn drawn(conditions: &[Condition], [first, second]: &[Vec<Drawn>; 2]) -> Rules {
        let mut rules = Rules::default();
        rules.add("a", conditions.to_vec(), laid_out(first, conditions.len(), conditions.len()));
        let members = rules.modules[0].audiences.iter();
        let members = members.map(|audience| Condition::Member(audience.id.clone()));
        let all: Vec<Condition> = members.chain(conditions.iter().cloned()).collect();
        let laid_out = laid_out(second, all.len(), conditions.len());
        rules.add("b", all, laid_out);
        rules
    }

    fn add(&mut self, name: &str, conditions: Vec<Condition>, rules: Vec<(Rule, bool)>) {
        let values = conditions.iter().filter_map(|condition| match condition {
            Condition::Compare { feature, .. } => Some(feature.clone()),
            Condition::Member(_) => None,
        });
        let values: Vec<Feature> = values.collect();
        let version = |rule: &Rule| {
            let content = rule.conditions.iter().map(|(condition, truth)| {
                let condition = &conditions[*condition as usize];
                let Condition::Member(id) = condition else {
                    return format!("{condition:?} {truth}");
                };
                let mut others = self.modules.iter().flat_map(|module| &module.audiences);
                let version = others.find(|other| other.id == *id).map(|other| &other.version);
                format!("{id} {version:?} {truth}")
            });
            let even = rule.even.map(|value| &values[value as usize]);
            format!("{:?} {even:?}", content.collect::<Vec<_>>())
        };
        let audience = |(at, (rule, says_so)): (usize, &(Rule, bool))| {
            let of = |wanted: bool| {
                let those =
                    rule.conditions.iter().filter(move |(_, truth)| *says_so && *truth == wanted);
                those.map(|(condition, _)| *condition).collect()
            };
            Audience {
                id: format!("{name}{at:02}").into(),
                name: "".into(),
                version: version(rule).into(),
                conditions: rule.conditions.iter().map(|(condition, _)| *condition).collect(),
                values: rule.even.into_iter().collect(),
                requires: of(true),
                excludes: of(false),
            }
        };
        let module = Module {
            name: name.into(),
            code: "".into(),
            predicates: vec!["p0".into(), "p1".into()],
            audiences: rules.iter().enumerate().map(audience).collect(),
            conditions,
            values,
        };
        self.modules.push(module);
        self.audiences.push(rules.into_iter().map(|(rule, _)| rule).collect());
    }
}

/// Audiences over so many conditions, of which the first so many look at features.
fn laid_out(drawn: &[Drawn], conditions: usize, features: usize) -> Vec<(Rule, bool)> {
    let rule = |drawn: &Drawn| {
        let place = |at: &usize, among: usize| (at % among) as u32;
        let mut of: Vec<(u32, bool)> =
            drawn.conditions.iter().map(|(at, truth)| (place(at, conditions), *truth)).collect();
        of.sort_unstable();
        of.dedup_by_key(|(condition, _)| *condition);
        let even = drawn.even.as_ref().map(|at| place(at, features));
        (Rule { conditions: of, even }, drawn.says_so)
    };
    drawn.iter().map(rule).collect()
}

/// Decides by the rules as they stand.
#[derive(Default)]
pub(super) struct Mirror {
    audiences: Vec<Vec<Rule>>,
    /// How many of its next answers it fails to give.
    pub(super) failures: u32,
    /// The same for what it is asked about events.
    pub(super) select_failures: u32,
    /// How many events it was asked about in each call.
    pub(super) asked: Vec<usize>,
}

impl Mirror {
    pub(super) fn of(rules: &Rules) -> Mirror {
        Mirror { audiences: rules.audiences.clone(), ..Mirror::default() }
    }

    /// Decides by the rules of another.
    pub(super) fn follow(&mut self, other: Mirror) {
        self.audiences = other.audiences;
    }
}

impl Decide for Mirror {
    fn decide(&mut self, question: Question<'_>) -> Result<Vec<bool>, DecideError> {
        if self.failures > 0 {
            self.failures -= 1;
            return Err(DecideError { reason: "out of order".into() });
        }
        let is_even = |value: &u32| {
            let value = question.values[*value as usize].as_ref();
            value.and_then(Value::number).is_some_and(is_even)
        };
        let is_in = |audience: &u32| {
            let rule = &self.audiences[question.module][*audience as usize];
            let mut conditions = rule.conditions.iter();
            conditions.all(|(at, truth)| question.conditions.contains(at) == *truth)
                && rule.even.as_ref().is_none_or(is_even)
        };
        Ok(question.audiences.iter().map(is_in).collect())
    }

    fn select(&mut self, selection: Selection<'_>) -> Result<Vec<bool>, DecideError> {
        self.asked.push(selection.candidates.len());
        if self.select_failures > 0 {
            self.select_failures -= 1;
            return Err(DecideError { reason: "out of sorts".into() });
        }
        let answers = selection.candidates.iter().flat_map(|candidate| {
            let answer = |index: &u32| PREDICATES[*index as usize](candidate.event);
            candidate.predicates.iter().map(answer)
        });
        Ok(answers.collect())
    }
}
