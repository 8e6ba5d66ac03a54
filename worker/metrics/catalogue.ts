// Every metric of the worker: its name and unit in OpenTelemetry's form, its name in Prometheus's, and what it says. The names follow
// OpenTelemetry's conventions for messaging and generative AI, which still change; what has no convention begins with kamado. When each is
// counted is in worker-metrics.ts.
import type { Family } from "./prometheus.ts";

export type Metric = {
  name: string;
  /** As UCUM writes it; what is counted, in braces. */
  unit: string;
  type: Family["type"];
  help: string;
  prometheus: string;
};

const SUFFIXES: Record<string, string> = {
  s: "_seconds",
  By: "_bytes",
  W: "_watts",
  J: "_joules",
  Cel: "_celsius",
  "1": "_ratio",
};

const metric =
  (type: Metric["type"]) =>
  (name: string, unit: string, help: string, prometheus?: string): Metric => {
    const own = `${name.replaceAll(".", "_")}${SUFFIXES[unit] ?? ""}${type === "counter" ? "_total" : ""}`;
    return { name, unit, type, help, prometheus: prometheus ?? own };
  };
const counter = metric("counter");
const gauge = metric("gauge");
const histogram = metric("histogram");

export const METRICS = {
  // counted
  consumed: counter(
    "messaging.client.consumed.messages",
    "{message}",
    "Messages that were received and worked on, a message as often as it came.",
  ),
  jobs: counter(
    "kamado.jobs",
    "{job}",
    "Jobs by how they ended, each attempt that ended otherwise included.",
  ),
  attempts: counter("kamado.attempts", "{attempt}", "Runs of handlers that were started."),
  tokens: counter("kamado.tokens", "{token}", "Tokens by the receipts of jobs that ended."),
  deliveries: counter("kamado.deliveries", "{delivery}", "Tries of deliveries by how they ended."),
  deadLetters: counter("kamado.dead_letters", "{message}", "Dead letters that this worker wrote."),
  historyDropped: counter(
    "kamado.history.dropped",
    "{event}",
    "Events that the history left out because it could not keep up.",
  ),
  // measured
  processed: histogram(
    "messaging.process.duration",
    "s",
    "From the start of a message's processing to its end, deliveries included.",
  ),
  queued: histogram(
    "kamado.job.queue.duration",
    "s",
    "How long a job was in its queue until it was first received.",
  ),
  waited: histogram("kamado.job.wait.duration", "s", "From a job's receive to the start of its handler."),
  ran: histogram("kamado.job.run.duration", "s", "How long a job's last run took."),
  inferred: histogram(
    "kamado.job.inference.duration",
    "s",
    "From a run's first question to its last answer. Only runs that asked a model.",
  ),
  delivered: histogram("kamado.delivery.duration", "s", "How long a try of a delivery took."),
  asked: histogram(
    "gen_ai.client.operation.duration",
    "s",
    "From a request to the engine to its answer, the wait for a slot included.",
  ),
  usage: histogram(
    "gen_ai.client.token.usage",
    "{token}",
    "Tokens of one answer: its prompt (input), the answer (output), and the part of the prompt that was in the cache (cached).",
  ),
  // as it is now
  info: gauge("kamado.worker.info", "", "The worker's name and the model that answered last."),
  state: gauge("kamado.worker.state", "", "1 for the state the worker is in."),
  up: gauge("kamado.up", "", "Whether what the worker needs answers: 1 or 0."),
  held: gauge("kamado.worker.jobs", "{job}", "Jobs that the worker has, by state."),
  slots: gauge("kamado.worker.slots", "{slot}", "Slots in use now; fewer than the limit while errors rise."),
  allSlots: gauge("kamado.worker.slots.limit", "{slot}", "All slots."),
  depth: gauge(
    "kamado.queue.messages",
    "{message}",
    "Messages in a queue. Only where the worker may ask for them.",
  ),
  age: gauge(
    "kamado.queue.age",
    "s",
    "How long the job that was received last had been in its queue; 0 when its queue is empty.",
  ),
  circuits: gauge(
    "kamado.delivery.circuits",
    "{circuit}",
    "Open circuits: destinations, and whole origins, to which nothing is sent for a while.",
  ),
  diskFree: gauge("kamado.disk.free", "By", "Free space on the disk of the data folder."),
  gpu: gauge("hw.gpu.utilization", "1", "How busy the busiest GPU is."),
  gpuMemory: gauge("hw.gpu.memory.usage", "By", "Memory of all GPUs in use."),
  watts: gauge("hw.power", "W", "What GPU and CPU use."),
  temperature: gauge("hw.temperature", "Cel", "The hottest sensor."),
  thermal: gauge("kamado.machine.thermal_state", "", "1 for the thermal state that the machine is in."),
  pressure: gauge(
    "kamado.machine.memory_pressure",
    "",
    "1 for the memory pressure that the machine is under.",
  ),
  idle: gauge("kamado.machine.idle", "s", "Since somebody last used keyboard or pointer."),
  paused: gauge("kamado.worker.paused", "", "1 for the policy because of which no job is pulled."),
  memory: gauge("process.memory.usage", "By", "Resident memory.", "process_resident_memory_bytes"),
  cpu: counter("process.cpu.time", "s", "User and system CPU time.", "process_cpu_seconds_total"),
  handles: gauge("kamado.worker.handles", "{handle}", "Open sockets, timers and the like."),
  uptime: gauge("kamado.worker.uptime", "s", "Since the process started."),
} as const satisfies Record<string, Metric>;
