/**
 * Every metric, declared once: the registry, docs/metrics.md and the check of the Grafana dashboard are made
 * from here. Labels take their values from short fixed lists or from the configuration, never from callers: no
 * user and no id becomes a series.
 */
export const metricTable = {
  info: {
    name: 'docker_spawner_info',
    type: 'gauge',
    help: 'Always 1; tells which version runs',
    labels: { version: 'the version of Docker Spawner', node: 'the version of Node' },
  },
  containers: {
    name: 'docker_spawner_containers',
    type: 'gauge',
    help: 'Containers that have a place, warm ones included',
    labels: { image: 'key', phase: 'queued, creating, starting, ready, asleep, stopping' },
  },
  warmContainers: {
    name: 'docker_spawner_warm_containers',
    type: 'gauge',
    help: 'Containers that are ready for whoever comes, and nobody’s yet',
    labels: { image: 'key' },
  },
  placesLimit: {
    name: 'docker_spawner_places_limit',
    type: 'gauge',
    help: 'Places for containers, the setting max_containers',
    labels: {},
  },
  queueLength: {
    name: 'docker_spawner_queue_length',
    type: 'gauge',
    help: 'Starts for users that wait for the engine; how long they waited is the phase queued of docker_spawner_spawn_phase_duration_seconds',
    labels: {},
  },
  startsRunning: {
    name: 'docker_spawner_starts_running',
    type: 'gauge',
    help: 'Starts that the engine is working on',
    labels: {},
  },
  spawns: {
    name: 'docker_spawner_spawns_total',
    type: 'counter',
    help: 'Spawns for users that were admitted, by how they ended; claimed: with a warm container',
    labels: { image: 'key', result: 'ready, claimed, failed, stopped' },
  },
  spawnDuration: {
    name: 'docker_spawner_spawn_duration_seconds',
    type: 'histogram',
    help: 'Time from the admission of a spawn until the container was ready; those with a warm container left out',
    labels: { image: 'key' },
    buckets: [0.1, 0.25, 0.5, 0.75, 1, 1.5, 2.5, 5, 10, 20, 40, 60, 120, 300],
  },
  spawnPhaseDuration: {
    name: 'docker_spawner_spawn_phase_duration_seconds',
    type: 'histogram',
    help: 'Time that a spawn spent in a phase; creating includes a pull of the image, starting waits for the web server',
    labels: { phase: 'queued, creating, starting' },
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
  },
  warmLookups: {
    name: 'docker_spawner_warm_lookups_total',
    type: 'counter',
    help: 'Spawns of entries that have warm containers, by whether one was there',
    labels: { image: 'key', result: 'hit, miss' },
  },
  warmStarts: {
    name: 'docker_spawner_warm_starts_total',
    type: 'counter',
    help: 'Starts of containers to be kept warm, by how they ended',
    labels: { image: 'key', result: 'ready, failed, stopped' },
  },
  ended: {
    name: 'docker_spawner_containers_ended_total',
    type: 'counter',
    help: 'Containers that are gone, by why',
    labels: { image: 'key', reason: 'asked, expired, idle, exited, failed, lost' },
  },
  wakeDuration: {
    name: 'docker_spawner_wake_duration_seconds',
    type: 'histogram',
    help: 'Time from the request that woke a sleeping container until it answered again',
    labels: { image: 'key' },
    buckets: [0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
  },
  proxyRequests: {
    name: 'docker_spawner_proxy_requests_total',
    type: 'counter',
    help: 'Requests to containers, upgrades included; noted about once a second',
    labels: {},
  },
  proxyTunnels: {
    name: 'docker_spawner_proxy_tunnels_total',
    type: 'counter',
    help: 'Requests that became a tunnel (WebSocket and other upgrades)',
    labels: {},
  },
  proxyBytes: {
    name: 'docker_spawner_proxy_bytes_total',
    type: 'counter',
    help: 'Bytes of bodies and tunnels that passed, by where they came from',
    labels: { from: 'client, container' },
  },
  proxyOwnAnswers: {
    name: 'docker_spawner_proxy_own_answers_total',
    type: 'counter',
    help: 'Answers that the proxy made itself, by status: refused requests, unknown hosts, containers that do not answer, waiting pages',
    labels: { status: 'an HTTP status' },
  },
  proxyClientConnections: {
    name: 'docker_spawner_proxy_client_connections',
    type: 'gauge',
    help: 'Open connections of clients',
    labels: {},
  },
  proxyUpstreamConnections: {
    name: 'docker_spawner_proxy_upstream_connections',
    type: 'gauge',
    help: 'Open connections to containers',
    labels: {},
  },
  proxyOpenRequests: {
    name: 'docker_spawner_proxy_open_requests',
    type: 'gauge',
    help: 'Requests to containers that are under way',
    labels: {},
  },
  proxyHeldRequests: {
    name: 'docker_spawner_proxy_held_requests',
    type: 'gauge',
    help: 'Requests that wait until their container has started or woken',
    labels: {},
  },
  proxyOpenTunnels: {
    name: 'docker_spawner_proxy_open_tunnels',
    type: 'gauge',
    help: 'Open tunnels (WebSocket and other upgrades)',
    labels: {},
  },
  engineCalls: {
    name: 'docker_spawner_engine_calls_total',
    type: 'counter',
    help: 'Calls to the engine, counted when they begin',
    labels: { verb: 'check, list, watch, create, remove and the other verbs of an engine' },
  },
  engineErrors: {
    name: 'docker_spawner_engine_errors_total',
    type: 'counter',
    help: 'Calls to the engine that failed, by why',
    labels: {
      verb: 'as above',
      kind: 'unreachable, aborted, image_missing, port_taken, not_found, failed, other',
    },
  },
  engineCallDuration: {
    name: 'docker_spawner_engine_call_duration_seconds',
    type: 'histogram',
    help: 'Time that calls to the engine took, failed ones included, streams left out',
    labels: { verb: 'as above' },
    buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
  },
  webhookAttempts: {
    name: 'docker_spawner_webhook_attempts_total',
    type: 'counter',
    help: 'Attempts to deliver an event to a webhook, by how they ended',
    labels: { target: 'the origin of its URL', result: 'delivered, failed' },
  },
  webhookWaiting: {
    name: 'docker_spawner_webhook_waiting',
    type: 'gauge',
    help: 'Events that are still to be delivered to a webhook',
    labels: { target: 'the origin of its URL' },
  },
  webhookDead: {
    name: 'docker_spawner_webhook_dead_total',
    type: 'counter',
    help: 'Events whose delivery was given up',
    labels: { target: 'the origin of its URL' },
  },
  eventLoopDelay: {
    name: 'docker_spawner_event_loop_delay_seconds',
    type: 'histogram',
    help: 'How late the event loop came round to a timer, asked 50 times a second',
    labels: {},
    buckets: [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
  },
  eventLoopActive: {
    name: 'docker_spawner_event_loop_active_seconds_total',
    type: 'counter',
    help: 'Time in which the event loop was at work; its rate is the loop’s utilization',
    labels: {},
  },
  processCpu: {
    name: 'process_cpu_seconds_total',
    type: 'counter',
    help: 'CPU time of the process, user and system',
    labels: {},
  },
  processMemory: {
    name: 'process_resident_memory_bytes',
    type: 'gauge',
    help: 'Resident memory of the process',
    labels: {},
  },
  processStart: {
    name: 'process_start_time_seconds',
    type: 'gauge',
    help: 'When the process started, in seconds since 1970',
    labels: {},
  },
} as const satisfies Record<string, MetricDeclaration>;

export interface MetricDeclaration {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  /** Without a full stop at the end. */
  readonly help: string;
  /** Label -> its values; `key`: a key of container_images. */
  readonly labels: Readonly<Record<string, string>>;
  /** Upper bounds, of histograms. */
  readonly buckets?: readonly number[];
}

export type MetricKey = keyof typeof metricTable;
