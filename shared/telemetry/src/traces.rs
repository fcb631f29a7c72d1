//! Traces that follow a task through every process: from the request that submitted its job, through RabbitMQ to a worker, to the bucket
//! and back. They are sent by OTLP over HTTP where [`TraceConfig`] names a collector; without one, nothing is recorded and the ids in
//! messages and logs stay as they came.
//!
//! A span is recorded if what caused it is. What nobody caused (loops that look whether there is work) is not recorded at all, and
//! requests without a trace of their own are sampled. Names and attributes follow OpenTelemetry's conventions (HTTP 1.x; messaging is
//! still in development), and stand here alone.

use crate::{TelemetryError, TraceParent};
use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, TraceContextExt as _, TraceFlags, TraceId, TraceState, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, SdkTracer, SdkTracerProvider, ShouldSample};
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Where traces go.
#[derive(Clone, PartialEq, Debug)]
pub struct TraceConfig {
    /// The collector, for example `http://127.0.0.1:4318`; traces are sent to `/v1/traces` below it.
    pub endpoint: String,
    /// JSON in place of protobuf.
    pub json: bool,
    /// Share of the requests without a trace of their own that begin one, 0 to 1.
    pub ratio: f64,
}

/// Records the children of what is recorded, and a share of the requests that nobody traces yet.
#[derive(Clone, Debug)]
struct Caused {
    requests: Sampler,
}

impl ShouldSample for Caused {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let caused_by = parent.map(|context| context.span().span_context().clone()).filter(SpanContext::is_valid);
        let decision = match (&caused_by, kind) {
            (Some(cause), _) if cause.is_sampled() => SamplingDecision::RecordAndSample,
            (None, SpanKind::Server) => {
                return self.requests.should_sample(parent, trace_id, name, kind, attributes, links);
            }
            _ => SamplingDecision::Drop,
        };
        let trace_state = caused_by.map(|cause| cause.trace_state().clone()).unwrap_or_default();
        SamplingResult { decision, attributes: Vec::new(), trace_state }
    }
}

/// Sends spans of `service` to the collector, from a thread of its own.
pub(crate) fn provider(service: &'static str, config: &TraceConfig) -> Result<SdkTracerProvider, TelemetryError> {
    // The exporter's HTTP client asks for it; whoever was first has installed the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let endpoint = format!("{}/v1/traces", config.endpoint.trim_end_matches('/'));
    let protocol = if config.json { Protocol::HttpJson } else { Protocol::HttpBinary };
    let exporter = SpanExporter::builder().with_http().with_protocol(protocol).with_endpoint(endpoint).build();
    let exporter = exporter.map_err(|error| TelemetryError::Traces(error.to_string()))?;
    let resource = Resource::builder_empty()
        .with_service_name(service)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("process.pid", i64::from(std::process::id())));
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Caused { requests: Sampler::TraceIdRatioBased(config.ratio) })
        .with_resource(resource.build())
        .build())
}

/// The tracer that spans of this workspace are recorded by.
pub(crate) fn tracer(provider: &SdkTracerProvider) -> SdkTracer {
    provider.tracer("counterfactory")
}

/// A request that is answered. `traceparent` is what its sender says of its trace.
pub fn request(method: &str, route: &str, traceparent: Option<&str>) -> Span {
    let span = tracing::info_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        trace_id = Empty,
    );
    follow(&span, traceparent);
    span
}

/// A message that is sent to `destination`, caused by what `traceparent` names.
pub fn sending(destination: &str, traceparent: Option<&str>) -> Span {
    let span = tracing::info_span!(
        "send", otel.name = format!("send {destination}"), otel.kind = "producer", messaging.system = "rabbitmq",
        messaging.operation.type = "send", messaging.destination.name = destination, trace_id = Empty,
    );
    follow(&span, traceparent);
    span
}

/// A message that came from `destination` and is worked on.
pub fn processing(destination: &str, traceparent: Option<&str>) -> Span {
    let span = tracing::info_span!(
        "process", otel.name = format!("process {destination}"), otel.kind = "consumer", messaging.system = "rabbitmq",
        messaging.operation.type = "process", messaging.destination.name = destination, trace_id = Empty, job = Empty, batch = Empty,
    );
    follow(&span, traceparent);
    span
}

/// Makes `traceparent` the cause of a span that is not entered yet, and notes the trace for logs. What is no trace context is ignored,
/// as the standard asks.
pub fn follow(span: &Span, traceparent: Option<&str>) {
    if let Some(cause) = traceparent.and_then(|text| text.parse::<TraceParent>().ok()) {
        let flags = if cause.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        let (trace, id) =
            (TraceId::from_bytes(cause.trace.to_be_bytes()), SpanId::from_bytes(cause.span.to_be_bytes()));
        let cause = SpanContext::new(trace, id, flags, true, TraceState::default());
        // refused only by a span that has begun already
        let _ = span.set_parent(Context::new().with_remote_span_context(cause));
        span.record("trace_id", trace.to_string());
    } else if let Some(begun) = context(span).and_then(|text| text.parse::<TraceParent>().ok()) {
        span.record("trace_id", format!("{:032x}", begun.trace));
    }
}

/// What a message says of its cause, `span`; none where traces are not sent anywhere.
pub fn context(span: &Span) -> Option<String> {
    let context = span.context();
    let context = context.span().span_context().clone();
    context.is_valid().then(|| {
        let trace = u128::from_be_bytes(context.trace_id().to_bytes());
        let span = u64::from_be_bytes(context.span_id().to_bytes());
        TraceParent { trace, span, sampled: context.is_sampled() }.to_string()
    })
}
