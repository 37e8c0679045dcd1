//! All partitions: each has its reader, and those that are added get one.
use std::{collections::HashMap, sync::Arc};

use futures_util::future::try_join_all;
use tokio::{
    task::{Id, JoinSet},
    time::{Instant, interval_at},
};

use crate::{Connection, PulsarError, SourceSettings, acknowledge::Outbox};

use super::{
    closes,
    lookups::Lookups,
    pump::{Pump, Shared},
    reader::Reader,
};

/// How many messages a broker may send ahead for one partition. At least a few, so that they come
/// without pause; at most what is worth its memory.
const PREFETCH_MIN: usize = 8;
const PREFETCH_MAX: usize = 500;

/// How many bytes may wait to be received, of all partitions together: each has its share, and takes
/// in no more entries once those that it holds come to it.
const HELD_BYTES_MAX: usize = 64 << 20;

/// Has every partition read.
pub(crate) struct Supervisor {
    connection: Connection,
    settings: Arc<SourceSettings>,
    lookups: Arc<Lookups>,
    shared: Shared,
    /// By partition, for all that were ever seen.
    readers: HashMap<Arc<str>, Reader>,
    running: JoinSet<()>,
    tasks: HashMap<Id, Arc<str>>,
}

impl Supervisor {
    /// Subscribes to every partition that there is.
    pub(crate) async fn open(
        connection: Connection,
        settings: SourceSettings,
        shared: Shared,
    ) -> Result<Supervisor, PulsarError> {
        let lookups = Arc::new(Lookups::new(connection.clone()));
        let topics = settings.topics.iter().map(|topic| lookups.partitions(topic));
        let partitions = try_join_all(topics).await?.concat();
        let mut supervisor = Supervisor {
            connection,
            settings: Arc::new(settings),
            lookups,
            shared,
            readers: HashMap::new(),
            running: JoinSet::new(),
            tasks: HashMap::new(),
        };
        supervisor.read(partitions).await?;
        Ok(supervisor)
    }

    /// Has partitions read until the source closes, and until all have left then.
    pub(crate) async fn run(mut self) {
        let mut closing = self.shared.closing.clone();
        let period = self.settings.stalled_after;
        let mut looks = interval_at(Instant::now() + period, period);
        loop {
            tokio::select! {
                biased;
                () = closes(&mut closing) => break,
                Some(ended) = self.running.join_next_with_id() => self.ended(ended),
                _ = looks.tick() => tokio::select! {
                    () = closes(&mut closing) => break,
                    () = self.add() => {}
                },
            }
        }
        while let Some(ended) = self.running.join_next_with_id().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a partition's task failed");
            }
        }
    }

    /// Readers end when the source closes, and otherwise by a mistake alone.
    fn ended(&mut self, ended: Result<(Id, ()), tokio::task::JoinError>) {
        let Err(error) = ended else { return };
        let Some(partition) = self.tasks.remove(&error.id()) else { return };
        tracing::error!(%partition, %error, "a partition's task failed");
        self.shared.standing.fails(&partition, "its task failed".to_owned());
        if let Some(reader) = self.readers.get(&partition).cloned() {
            self.spawn(reader, None);
        }
    }

    /// Subscribes to partitions that were added. That the lookup is answered says too that the service
    /// is there, even while nobody receives and the pumps stand still.
    async fn add(&mut self) {
        for topic in self.settings.topics.clone() {
            // Apart from the topic itself, which has a reader where it has no partitions.
            let part = Arc::from(format!("partitions of {topic}"));
            let added = match self.lookups.partitions(&topic).await {
                Ok(partitions) => {
                    let known = |partition: &Arc<str>| self.readers.contains_key(partition);
                    partitions.into_iter().filter(|partition| !known(partition)).collect()
                }
                Err(error) => {
                    self.shared.standing.fails(&part, error.to_string());
                    continue;
                }
            };
            match self.read(added).await {
                Ok(()) => self.shared.standing.works(&part),
                Err(error) => self.shared.standing.fails(&part, error.to_string()),
            }
        }
    }

    async fn read(&mut self, partitions: Vec<Arc<str>>) -> Result<(), PulsarError> {
        let count = (self.readers.len() + partitions.len()).max(1);
        let share = self.settings.in_flight_max / count;
        let readers = partitions.into_iter().map(|partition| Reader {
            connection: self.connection.clone(),
            settings: Arc::clone(&self.settings),
            lookups: Arc::clone(&self.lookups),
            outbox: Arc::new(Outbox::new(partition)),
            shared: self.shared.clone(),
            messages_max: share.clamp(PREFETCH_MIN, PREFETCH_MAX),
            bytes_max: HELD_BYTES_MAX / count,
        });
        let opening = readers.map(|reader| async move {
            let pump = reader.open().await?;
            Ok::<_, PulsarError>((reader, pump))
        });
        for (reader, pump) in try_join_all(opening).await? {
            tracing::debug!(partition = %reader.outbox.partition, "subscribed");
            self.spawn(reader, Some(pump));
        }
        Ok(())
    }

    fn spawn(&mut self, reader: Reader, first: Option<Pump>) {
        let partition = Arc::clone(&reader.outbox.partition);
        self.readers.insert(Arc::clone(&partition), reader.clone());
        let task = self.running.spawn(reader.run(first));
        self.tasks.insert(task.id(), partition);
    }
}
