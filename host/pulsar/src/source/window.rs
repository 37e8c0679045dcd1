//! How much a broker may send ahead.

/// What may be on its way from the broker and wait here, of one partition: bounded by messages, and
/// by bytes for when messages are large.
///
/// An entry comes whole, however many messages it holds, so both may be passed by one.
pub(crate) struct Window {
    messages_max: usize,
    bytes_max: usize,
    /// How many messages the broker may still send; below zero after an entry of many.
    granted: i64,
    held: usize,
    bytes: usize,
}

impl Window {
    pub(crate) fn new(messages_max: usize, bytes_max: usize) -> Window {
        Window { messages_max, bytes_max, granted: 0, held: 0, bytes: 0 }
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
        let missing = self.messages_max as i64 - expected;
        if missing * 2 < self.messages_max as i64 || !self.is_open() {
            return None;
        }
        self.granted += missing;
        u32::try_from(missing).ok().filter(|missing| *missing > 0)
    }

    /// An entry came.
    pub(crate) fn came(&mut self, messages: usize, bytes: usize) {
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
        assert_eq!((window.ask(), window.ask()), (Some(10), None));
        (0..10).for_each(|_| window.came(1, 1));
        assert_eq!(window.ask(), None, "everything that came is held");
        for passed in 1..=10 {
            window.opened(1, 1, 1);
            window.passed();
            let asked = if passed % 5 == 0 { Some(5) } else { None };
            assert_eq!(window.ask(), asked, "{passed}");
        }
    }

    #[test]
    fn large_entries_close_it() {
        let mut window = Window::new(10, 100);
        window.ask();
        window.came(1_000, 100);
        assert!(!window.is_open());
        window.opened(1_000, 100, 0);
        assert_eq!(window.ask(), Some(1_000), "the broker counts down from what it was granted");
    }
}
