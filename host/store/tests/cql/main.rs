//! The store that processes share, as somebody sees it who wants to break it: on a real Cassandra.

#[cfg(test)]
mod history;
#[cfg(test)]
mod make;
#[cfg(test)]
mod place;
#[cfg(test)]
mod profile;
#[cfg(test)]
mod versions;
