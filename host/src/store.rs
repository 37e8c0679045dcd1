//! Where users, history, timers and transitions are kept.
