//! The source and the sink against real brokers.
mod between;
mod damage;
mod facts;
mod order;
mod outages;
mod raw;
mod refusals;
mod sink;
mod source;
mod stage;
mod stalls;
mod tls;
