//! The source and the sink against real brokers.
mod facts;
mod outages;
mod refusals;
mod sink;
mod source;
mod stage;
