//! The store that processes share, as somebody sees it who wants to break it: on a real Cassandra.

#[cfg(test)]
mod beside;
#[cfg(test)]
mod connection;
#[cfg(test)]
mod copying;
#[cfg(test)]
mod division;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod history;
#[cfg(test)]
mod locks;
#[cfg(test)]
mod make;
#[cfg(test)]
mod members;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod place;
#[cfg(test)]
mod profile;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod repair;
#[cfg(test)]
mod replace;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod timers;
#[cfg(test)]
mod unknown;
#[cfg(test)]
mod untold;
#[cfg(test)]
mod users;
#[cfg(test)]
mod versions;
