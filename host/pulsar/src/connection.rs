//! How the service is reached.
use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, FutureExt};
use pulsar::{
    Authentication, ConnectionRetryOptions, OperationRetryOptions, Pulsar, TokioExecutor,
};

use url::Url;

use crate::{
    PulsarError,
    wire::{Session, tls},
};

pub(crate) type Client = Pulsar<TokioExecutor>;

/// The client asks again by itself while a broker loads a topic or lets go of a name. More than a
/// moment of it is for the one who builds clients, who says in the status what is waited for.
const ATTEMPTS_MAX: u32 = 8;
const ATTEMPT_AFTER: Duration = Duration::from_millis(250);

/// A client that is connected.
pub(crate) struct Reached {
    pub(crate) client: Client,
    /// The longest message that the service takes.
    pub(crate) message_bytes_max: usize,
}

/// How the service is reached.
#[derive(Clone)]
pub struct Connection {
    /// `pulsar://host:6650`, or `pulsar+ssl://host:6651`.
    pub url: String,
    /// A JSON Web Token, for a service that asks for one.
    pub token: Option<String>,
    /// The PEM file of a certificate authority, beside the public ones, that TLS may trust.
    pub authority: Option<PathBuf>,
    /// How long one request may take before the broker counts as silent.
    pub request_time: Duration,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token is a secret, and this is what ends up in logs.
        f.debug_struct("Connection")
            .field("url", &self.url)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("authority", &self.authority)
            .field("request_time", &self.request_time)
            .finish()
    }
}

impl Connection {
    /// A new client, connected.
    ///
    /// It is greeted once beforehand: of what is said in a greeting the client keeps neither why it
    /// is refused nor what may be sent.
    pub(crate) async fn client(&self) -> Result<Reached, PulsarError> {
        let host = self.url.strip_prefix("pulsar://").or(self.url.strip_prefix("pulsar+ssl://"));
        let url = Url::parse(&self.url).ok().filter(|url| url.has_host() && host.is_some());
        let url = url.ok_or_else(|| PulsarError::Address { url: self.url.clone() })?;
        if let Some(path) = &self.authority {
            std::fs::metadata(path)
                .map_err(|source| PulsarError::Authority { path: path.clone(), source })?;
        }
        let greeted = Session::open(self, &url, None).await;
        let message_bytes_max =
            greeted.map_err(|error| PulsarError::greeting(error, &self.url))?.message_bytes_max;
        tls::settle();
        let mut builder = Pulsar::builder(self.url.clone(), TokioExecutor)
            .with_connection_retry_options(ConnectionRetryOptions {
                connection_timeout: self.request_time,
                max_retries: 0,
                ..ConnectionRetryOptions::default()
            })
            .with_operation_retry_options(OperationRetryOptions {
                operation_timeout: self.request_time,
                retry_delay: ATTEMPT_AFTER,
                max_retries: Some(ATTEMPTS_MAX),
            });
        if let Some(token) = &self.token {
            let (name, data) = ("token".to_owned(), token.clone().into_bytes());
            builder = builder.with_auth(Authentication { name, data });
        }
        if let Some(path) = &self.authority {
            builder = builder
                .with_certificate_chain_file(path)
                .map_err(|source| PulsarError::Authority { path: path.clone(), source })?;
        }
        let client = self.bounded("", "", builder.build().boxed()).await?;
        Ok(Reached { client, message_bytes_max })
    }

    /// The partitions of a topic by name; the topic itself where it has none.
    pub(crate) async fn partitions(
        &self,
        client: &Client,
        topic: &str,
    ) -> Result<Vec<Arc<str>>, PulsarError> {
        let lookup = client.lookup_partitioned_topic_number(topic);
        let partitions = self.bounded(topic, "", lookup.boxed()).await?;
        Ok(match partitions {
            0 => vec![topic.into()],
            _ => (0..partitions).map(|n| format!("{topic}-partition-{n}").into()).collect(),
        })
    }

    /// An answer of the client, or why there is none; in time, which the client alone doesn't
    /// promise: it may wait for good for a connection that another task gave up.
    ///
    /// Boxed, because the client's futures are so large that a few of them, one in the other,
    /// overflow a thread's stack in a debug build.
    pub(crate) async fn bounded<T>(
        &self,
        topic: &str,
        name: &str,
        request: BoxFuture<'_, Result<T, pulsar::Error>>,
    ) -> Result<T, PulsarError> {
        match tokio::time::timeout(self.request_time * 2, request).await {
            Ok(answer) => answer.map_err(|error| PulsarError::of(&error, &self.url, topic, name)),
            Err(_) => Err(PulsarError::Unreachable {
                url: self.url.clone(),
                reason: format!("nothing within {:?}", self.request_time * 2),
            }),
        }
    }
}

/// A topic's full name: places are remembered by it, so that the short one must not make another.
pub(crate) fn full_name(topic: &str) -> String {
    match (topic.contains("://"), topic.matches('/').count()) {
        (true, _) => topic.to_owned(),
        (false, 0) => format!("persistent://public/default/{topic}"),
        (false, _) => format!("persistent://{topic}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_mean_the_default_namespace() {
        assert_eq!(full_name("in"), "persistent://public/default/in");
        assert_eq!(full_name("a/b/in"), "persistent://a/b/in");
        assert_eq!(full_name("persistent://a/b/in"), "persistent://a/b/in");
    }
}
