//! The admin REST API, as far as tests need it.
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// A broker's administration, over its REST API.
///
/// Topics are named without tenant and namespace, which are always `public/default`.
#[derive(Clone, Debug)]
pub struct PulsarAdmin {
    url: String,
    token: Option<String>,
    agent: ureq::Agent,
}

impl PulsarAdmin {
    /// The administration of the broker whose web service listens at `url`.
    pub fn new(url: String, token: Option<String>) -> PulsarAdmin {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(30)))
            .http_status_as_error(false)
            .build()
            .new_agent();
        PulsarAdmin { url, token, agent }
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Creates a topic, with `partitions` partitions or, for 0, without any.
    pub fn create_topic(&self, topic: &str, partitions: u32) -> Result<()> {
        match partitions {
            0 => self.request("PUT", &path(topic), None).map(drop),
            _ => self.request("PUT", &format!("{}/partitions", path(topic)), Some(partitions)),
        }
        .with_context(|| format!("cannot create the topic `{topic}`"))
    }

    /// Gives a topic more partitions than it has.
    pub fn add_partitions(&self, topic: &str, partitions: u32) -> Result<()> {
        self.request("POST", &format!("{}/partitions", path(topic)), Some(partitions))
            .with_context(|| format!("cannot give the topic `{topic}` {partitions} partitions"))
    }

    /// Deletes a topic without partitions, whoever is connected to it.
    pub fn delete_topic(&self, topic: &str) -> Result<()> {
        self.request("DELETE", &format!("{}?force=true", path(topic)), None)
            .with_context(|| format!("cannot delete the topic `{topic}`"))
    }

    /// The same of a topic with partitions.
    pub fn delete_partitioned_topic(&self, topic: &str) -> Result<()> {
        self.request("DELETE", &format!("{}/partitions?force=true", path(topic)), None)
            .with_context(|| format!("cannot delete the topic `{topic}`"))
    }

    /// Ends a topic without partitions: what is in it stays, and nothing is added.
    pub fn terminate_topic(&self, topic: &str) -> Result<()> {
        self.request("POST", &format!("{}/terminate", path(topic)), None)
            .with_context(|| format!("cannot terminate the topic `{topic}`"))
    }

    /// Makes the broker let go of a topic, which closes its producers and consumers.
    pub fn unload_topic(&self, topic: &str) -> Result<()> {
        self.request("PUT", &format!("{}/unload", path(topic)), None)
            .with_context(|| format!("cannot unload the topic `{topic}`"))
    }

    /// Makes the broker let go of every topic there is.
    pub fn unload_namespace(&self) -> Result<()> {
        self.request("PUT", "namespaces/public/default/unload", None)
            .context("cannot unload the namespace `public/default`")
    }

    /// How many entries of a topic without partitions, or of one partition, a subscription has not
    /// acknowledged.
    pub fn backlog(&self, topic: &str, subscription: &str) -> Result<u64> {
        let stats = self.subscription(topic, subscription)?;
        stats["msgBacklog"].as_u64().context("a subscription without a backlog")
    }

    /// Lets a subscription begin again at the first message that there is.
    pub fn rewind(&self, topic: &str, subscription: &str) -> Result<()> {
        let path = format!("{}/subscription/{subscription}/resetcursor/0", path(topic));
        self.request("POST", &path, None).with_context(|| format!("cannot rewind `{topic}`"))
    }

    /// How many messages the broker has sent to a subscription's consumers, repetitions included.
    pub fn sent(&self, topic: &str, subscription: &str) -> Result<u64> {
        let stats = self.subscription(topic, subscription)?;
        stats["msgOutCounter"].as_u64().context("a subscription that counts nothing")
    }

    /// Which consumer, by name, a Failover subscription delivers to; `None` before there is one.
    pub fn active_consumer(&self, topic: &str, subscription: &str) -> Result<Option<String>> {
        let stats = self.subscription(topic, subscription)?;
        let active = &stats["activeConsumerName"];
        Ok(active.as_str().filter(|name| !name.is_empty()).map(str::to_owned))
    }

    /// The names of all consumers that a subscription has on a topic without partitions or on one
    /// partition.
    pub fn consumers(&self, topic: &str, subscription: &str) -> Result<Vec<String>> {
        let stats = self.subscription(topic, subscription)?;
        let names = stats["consumers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|consumer| consumer["consumerName"].as_str());
        Ok(names.map(str::to_owned).collect())
    }

    /// What is known of a subscription to a topic without partitions, or to one partition.
    pub fn subscription(&self, topic: &str, subscription: &str) -> Result<Value> {
        let stats = self.get(&format!("{}/stats?getPreciseBacklog=true", path(topic)))?;
        let mut stats: Value = serde_json::from_str(&stats)?;
        match stats["subscriptions"][subscription].take() {
            Value::Null => bail!("`{topic}` has no subscription `{subscription}`"),
            stats => Ok(stats),
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.get("namespaces/public").is_ok_and(|namespaces| namespaces.contains("public/default"))
            && self.get("persistent/public/default").is_ok()
    }

    fn get(&self, path: &str) -> Result<String> {
        self.send("GET", path, None)
    }

    fn request(&self, method: &str, path: &str, body: Option<u32>) -> Result<()> {
        self.send(method, path, body).map(drop)
    }

    fn send(&self, method: &str, path: &str, body: Option<u32>) -> Result<String> {
        let url = format!("{}/admin/v2/{path}", self.url);
        let mut request = ureq::http::Request::builder().method(method).uri(&url);
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = request.header("Content-Type", "application/json").body(body)?;
        let mut response = self.agent.run(request).with_context(|| format!("`{url}`"))?;
        let status = response.status();
        let said = response.body_mut().read_to_string()?;
        if !status.is_success() {
            bail!("`{method} {url}` was answered with {status}: {said}");
        }
        Ok(said)
    }
}

fn path(topic: &str) -> String {
    format!("persistent/public/default/{topic}")
}
