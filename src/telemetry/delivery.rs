//! How each signal is delivered: handed over to a queue of bounded size, by an exporter that is counted.

use std::sync::Arc;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{self, BatchLogProcessor};
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{self, BatchSpanProcessor, SpanProcessor};

use super::exporters;
use super::health::{Counted, Health};
use super::pace::{Pace, Queue};
use super::settings::Destination;
use super::span::Spans;

/// Of one signal.
pub struct Delivery<'a> {
    /// Where to.
    pub to: &'a Destination,
    /// How often.
    pub pace: &'a Pace,
    /// Who sends.
    pub resource: &'a Resource,
    /// How it goes.
    pub health: &'a Arc<Health>,
}

impl Delivery<'_> {
    /// Where spans are handed over.
    ///
    /// # Errors
    /// A sentence on what is wrong with the settings.
    pub fn spans(&self) -> Result<Arc<Spans>, String> {
        let exporter = Counted::new(exporters::spans(self.to, &self.health.answers)?, self.health.clone());
        let Queue { size, batch, delay } = self.pace.spans;
        let queue = trace::BatchConfigBuilder::default()
            .with_max_queue_size(size)
            .with_max_export_batch_size(batch)
            .with_scheduled_delay(delay)
            .build();
        let mut processor = BatchSpanProcessor::builder(exporter).with_batch_config(queue).build();
        processor.set_resource(self.resource);
        Ok(Arc::new(Spans::new(processor, self.health.clone())))
    }

    /// Where log records are handed over.
    ///
    /// # Errors
    /// As [`Self::spans`].
    pub fn records(&self) -> Result<BatchLogProcessor, String> {
        let exporter = Counted::new(exporters::logs(self.to, &self.health.answers)?, self.health.clone());
        let Queue { size, batch, delay } = self.pace.records;
        let queue = logs::BatchConfigBuilder::default()
            .with_max_queue_size(size)
            .with_max_export_batch_size(batch)
            .with_scheduled_delay(delay)
            .build();
        Ok(BatchLogProcessor::builder(exporter).with_batch_config(queue).build())
    }

    /// Where figures are sent from.
    ///
    /// # Errors
    /// As [`Self::spans`].
    pub fn figures(&self) -> Result<SdkMeterProvider, String> {
        let exporter = exporters::metrics(self.to, self.pace.temporality, &self.health.answers)?;
        let exporter = Counted::new(exporter, self.health.clone());
        let reader = PeriodicReader::builder(exporter).with_interval(self.pace.interval).build();
        Ok(SdkMeterProvider::builder().with_reader(reader).with_resource(self.resource.clone()).build())
    }
}
