//! How much a broker may send ahead.

/// What is asked for before it is known how long messages are: at most some 40 MiB, as brokers are
/// usually set up.
const FIRST: usize = 8;

/// What may be on its way from the broker and wait here, of one partition: bounded by messages, and
/// by bytes for when messages are large.
///
/// An entry comes whole, however many messages it holds, so both may be passed by one.
pub(crate) struct Window {
    messages_max: usize,
    bytes_max: usize,
    /// About how long a message is, by those that came; 0 before there was one.
    usual_bytes: usize,
    /// How many messages the broker may still send; below zero after an entry of many.
    granted: i64,
    held: usize,
    bytes: usize,
}

impl Window {
    pub(crate) fn new(messages_max: usize, bytes_max: usize) -> Window {
        Window { messages_max, bytes_max, usual_bytes: 0, granted: 0, held: 0, bytes: 0 }
    }

    /// Whether more may be taken in.
    pub(crate) fn is_open(&self) -> bool {
        self.bytes < self.bytes_max
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// How many messages more to ask for; not before it is a good part of all, to ask seldom.
    pub(crate) fn ask(&mut self) -> Option<u32> {
        let expected = self.granted + self.held as i64;
        let most = self.most() as i64;
        let missing = most - expected;
        if missing * 2 < most || !self.is_open() {
            return None;
        }
        self.granted += missing;
        u32::try_from(missing).ok().filter(|missing| *missing > 0)
    }

    /// How many messages there is room for: while it isn't known how long they are, a few.
    fn most(&self) -> usize {
        let most = self.bytes_max.checked_div(self.usual_bytes).unwrap_or(FIRST);
        most.clamp(1, self.messages_max)
    }

    /// An entry came.
    pub(crate) fn came(&mut self, messages: usize, bytes: usize) {
        let each = (bytes / messages).max(1);
        self.usual_bytes = match self.usual_bytes {
            0 => each,
            usual => (usual * 7 + each).div_ceil(8),
        };
        self.granted -= messages as i64;
        self.held += messages;
        self.bytes += bytes;
    }

    /// An entry was taken apart, and its messages are those that are left of it.
    pub(crate) fn opened(&mut self, counted: usize, bytes: usize, messages: usize) {
        self.bytes -= bytes;
        self.held = self.held - counted + messages;
    }

    /// A message was passed on.
    pub(crate) fn passed(&mut self) {
        self.held -= 1;
    }

    /// The broker says how much it may still send, while nothing is held: its word counts.
    pub(crate) fn told(&mut self, granted: i64) {
        self.granted = granted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_asked_for_than_there_is_room() {
        let mut window = Window::new(10, 100);
        assert_eq!((window.ask(), window.ask()), (Some(8), None));
        window.came(1, 1);
        assert_eq!(window.ask(), None);
        window.told(9);
        (1..10).for_each(|_| window.came(1, 1));
        assert_eq!(window.ask(), None, "everything that came is held");
        for passed in 1..=10 {
            window.opened(1, 1, 1);
            window.passed();
            let asked = if passed % 5 == 0 { Some(5) } else { None };
            assert_eq!(window.ask(), asked, "{passed}");
        }
    }

    #[test]
    fn the_larger_they_are_the_fewer_are_asked_for() {
        let mut window = Window::new(10, 100);
        assert_eq!(window.ask(), Some(8));
        window.came(8, 8 * 25);
        assert!(!window.is_open());
        window.opened(8, 8 * 25, 0);
        assert_eq!(window.ask(), Some(4));
        window.came(1_000, 1);
        window.opened(1_000, 1, 0);
        let asked = window.ask();
        assert_eq!(asked, Some(1_000), "the broker counts down from what it was granted");
    }
}
