//! The manifest of a module, written by the compiler: a module carries it as a constant, and nothing
//! of this runs in a call.

mod writer;

pub use writer::Writer;

use crate::events::{Events, Field};
use crate::input::{Source, Spec};
use crate::module::Audience;
use crate::predicate::Predicates;

/// What `muster build` puts the hash of the module's code in place of, so that rules that were
/// changed are never taken for those that they were.
const CODE_VERSION: &str = "muster-build-writes-version-here";

/// A module's `N` inputs, all audiences' one after the other, and their places in the manifest.
#[doc(hidden)]
pub struct Tables<const N: usize> {
    specs: [Option<Spec>; N],
    /// The crate's predicates, if an input names one.
    predicates: Option<&'static Predicates>,
    selectors: [Place; N],
    features: [Place; N],
    conditions: [Place; N],
    values: [Place; N],
}

/// An input's entry in a list of the manifest.
#[derive(Clone, Copy)]
struct Place {
    /// What tells the entry apart from others; zero for none.
    key: u128,
    index: u32,
    /// Whether no input before has the same entry.
    is_first: bool,
}

const NO_PLACE: Place = Place { key: 0, index: 0, is_first: false };

/// How many inputs the audiences list.
#[doc(hidden)]
pub const fn count_inputs(audiences: &[Audience]) -> usize {
    let (mut at, mut count) = (0, 0);
    while at < audiences.len() {
        count += audiences[at].inputs.len();
        at += 1;
    }
    count
}

impl<const N: usize> Tables<N> {
    /// The tables of those audiences, which list `N` inputs.
    pub const fn new(audiences: &[Audience]) -> Tables<N> {
        let places = [NO_PLACE; N];
        let mut tables = Tables {
            specs: [None; N],
            predicates: None,
            selectors: places,
            features: places,
            conditions: places,
            values: places,
        };
        let (mut audience, mut at) = (0, 0);
        while audience < audiences.len() {
            let mut input = 0;
            while input < audiences[audience].inputs.len() {
                tables.add(at, audiences[audience].inputs[input]);
                (input, at) = (input + 1, at + 1);
            }
            audience += 1;
        }
        number(&mut tables.selectors);
        number(&mut tables.features);
        number(&mut tables.conditions);
        number(&mut tables.values);
        tables
    }

    const fn add(&mut self, at: usize, spec: Spec) {
        let mut writer = Writer::<0>::new();
        if let Source::Events { events, .. } = spec.source {
            writer.selector(&events);
            self.selectors[at].key = writer.hash;
            if let Some(predicate) = events.predicate {
                if let Some(others) = self.predicates {
                    assert!(
                        predicate.all.is_same(others),
                        "predicates are declared twice: declare all of a crate's at once, at its root"
                    );
                }
                self.predicates = Some(predicate.all);
            }
        }
        writer.source(&spec.source, 0);
        if !matches!(spec.source, Source::Audience(_)) {
            self.features[at].key = writer.hash;
        }
        if let Some(comparison) = spec.comparison {
            writer.comparison(&comparison);
        }
        match spec.is_condition() {
            true => self.conditions[at].key = writer.hash,
            false => self.values[at].key = writer.hash,
        }
        self.specs[at] = Some(spec);
    }

    /// The predicates that the module is asked about.
    pub const fn predicates(&self) -> Option<&'static Predicates> {
        self.predicates
    }

    /// The index of each input in the manifest's `conditions` or `values`.
    pub const fn slots(&self) -> [u32; N] {
        let (mut slots, mut at) = ([0; N], 0);
        while at < N {
            // One of the two is no entry, and has the index 0.
            slots[at] = self.conditions[at].index + self.values[at].index;
            at += 1;
        }
        slots
    }
}

/// Gives each different entry of a list an index.
const fn number(places: &mut [Place]) {
    let (mut at, mut count) = (0, 0);
    while at < places.len() {
        let mut before = 0;
        while before < at && places[before].key != places[at].key {
            before += 1;
        }
        if places[at].key != 0 {
            places[at].is_first = before == at;
            places[at].index = if before == at { count } else { places[before].index };
            count += (before == at) as u32;
        }
        at += 1;
    }
}

#[derive(Clone, Copy)]
enum Entry {
    Selector,
    Feature,
    Condition,
    Value,
}

impl<const N: usize> Writer<N> {
    /// The manifest of a module of that name.
    pub const fn manifest<const INPUTS: usize>(
        name: &str,
        audiences: &[Audience],
        tables: &Tables<INPUTS>,
    ) -> Writer<N> {
        let mut writer = Writer::new();
        writer.raw("{\"manifest\":1,\"name\":");
        writer.text(name);
        if let Some(predicates) = tables.predicates {
            writer.names(",\"predicates\":[", predicates.names);
        }
        writer.entries(",\"selectors\":[", tables, &tables.selectors, Entry::Selector);
        writer.entries("],\"features\":[", tables, &tables.features, Entry::Feature);
        writer.entries("],\"conditions\":[", tables, &tables.conditions, Entry::Condition);
        writer.entries("],\"values\":[", tables, &tables.values, Entry::Value);
        writer.raw("],\"audiences\":[");
        let (mut at, mut first) = (0, 0);
        while at < audiences.len() {
            writer.separate(at > 0);
            writer.audience(&audiences[at], tables, first);
            first += audiences[at].inputs.len();
            at += 1;
        }
        writer.raw("]}");
        writer
    }

    const fn entries<const INPUTS: usize>(
        &mut self,
        begin: &str,
        of: &Tables<INPUTS>,
        places: &[Place; INPUTS],
        entry: Entry,
    ) {
        self.raw(begin);
        let mut at = 0;
        while at < INPUTS {
            if let Some(spec) = &of.specs[at]
                && places[at].is_first
            {
                self.separate(places[at].index > 0);
                match (entry, &spec.source) {
                    (Entry::Selector, Source::Events { events, .. }) => self.selector(events),
                    (Entry::Condition, _) => self.condition(spec, of.features[at].index),
                    (Entry::Value, _) => self.whole(of.features[at].index as i64),
                    (_, source) => self.source(source, of.selectors[at].index),
                }
            }
            at += 1;
        }
    }

    const fn names(&mut self, begin: &str, names: &[&str]) {
        self.raw(begin);
        let mut at = 0;
        while at < names.len() {
            self.separate(at > 0);
            self.text(names[at]);
            at += 1;
        }
        self.raw("]");
    }

    const fn selector(&mut self, events: &Events) {
        self.raw("{\"event\":");
        self.text(events.name);
        self.fields(",\"context\":{", &events.context);
        self.fields(",\"with\":{", &events.with);
        if let Some(predicate) = events.predicate {
            self.pair(",\"predicate\":", predicate.name);
        }
        self.raw("}");
    }

    const fn fields(&mut self, begin: &str, fields: &[Option<Field>]) {
        let mut at = 0;
        while at < fields.len()
            && let Some(field) = fields[at]
        {
            self.raw(if at > 0 { "," } else { begin });
            self.text(field.name);
            self.raw(":");
            self.comparison(&field.comparison);
            at += 1;
        }
        self.raw(if at > 0 { "}" } else { "" });
    }

    const fn source(&mut self, source: &Source, selector: u32) {
        match source {
            Source::Audience(id) => self.pair("{\"audience\":", id),
            Source::Attribute(name) => self.pair("{\"attribute\":", name),
            Source::Events { events, aggregate, of } => {
                self.raw("{\"selector\":");
                self.whole(selector as i64);
                self.pair(",\"aggregate\":", aggregate.name());
                if !of.is_empty() {
                    self.pair(",\"of\":", of);
                }
                if let Some(span) = events.within {
                    self.raw(",\"within\":\"");
                    self.whole(span.milliseconds);
                    self.raw("ms\"");
                }
                if let Some(span) = events.older_than {
                    self.raw(",\"older_than\":\"");
                    self.whole(span.milliseconds);
                    self.raw("ms\"");
                }
                if let Some((from, to)) = events.between {
                    self.pair(",\"between\":{\"from\":", from);
                    self.pair(",\"to\":", to);
                    self.raw("}");
                }
            }
        }
        self.raw("}");
    }

    const fn condition(&mut self, spec: &Spec, feature: u32) {
        match spec.comparison {
            None => self.source(&spec.source, 0),
            Some(comparison) => {
                self.raw("{\"feature\":");
                self.whole(feature as i64);
                self.raw(",\"is\":");
                self.comparison(&comparison);
                self.raw("}");
            }
        }
    }

    const fn audience<const INPUTS: usize>(
        &mut self,
        audience: &Audience,
        tables: &Tables<INPUTS>,
        first: usize,
    ) {
        self.pair("{\"id\":", audience.id);
        self.pair(",\"name\":", audience.name);
        self.raw(",\"version\":\"");
        self.escaped(audience.version);
        self.raw("+");
        self.raw(CODE_VERSION);
        self.raw("\",\"conditions\":[");
        self.indices(&tables.conditions, first, audience.inputs.len());
        self.raw("],\"values\":[");
        self.indices(&tables.values, first, audience.inputs.len());
        self.raw("]}");
    }

    /// The indices of an audience's inputs in a list, each once, ascending.
    const fn indices(&mut self, places: &[Place], first: usize, length: usize) {
        let (mut next, mut written) = (0, 0);
        loop {
            let (mut least, mut at) = (u32::MAX, first);
            while at < first + length {
                let Place { key, index, .. } = places[at];
                if key != 0 && index >= next && index < least {
                    least = index;
                }
                at += 1;
            }
            if least == u32::MAX {
                return;
            }
            self.separate(written > 0);
            self.whole(least as i64);
            (next, written) = (least + 1, written + 1);
        }
    }
}
