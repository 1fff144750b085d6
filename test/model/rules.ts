import type { SpawnerEvent } from '../../src/core/events.ts';
import { decodeLabels } from '../../src/core/labels.ts';
import { idleMs } from './entries.ts';
import type { Life, Settings } from './life.ts';
import type { Machine } from './machine.ts';
import { type ContainerRecord, follow, isIdle, mayEnd, type Records } from './records.ts';

/** What the rules look at. */
export interface RulesView {
  readonly settings: Settings;
  readonly machine: Machine;
  readonly records: Records;
  readonly nowMs: () => number;
  readonly life: () => Life | null;
  /** Users who wait for a spawn. */
  readonly waitingUsers: () => ReadonlySet<string | null>;
  readonly onProblem: (text: string) => void;
}

/** Rule 1 and 5, at the moment a container comes into being: who has what on the machine itself. */
export function checkCreated({ settings, machine, records, life, onProblem }: RulesView, ref: string): void {
  const created = machine.get(ref)!;
  const ours = machine.containers.filter(
    (c) => !c.late && decodeLabels(c.labels)?.owner.instance === 'model',
  );
  if (ours.length > settings.maxContainers) onProblem(`rule 1: ${ours.length} containers on the machine`);
  // One that could not be started has no port; two that were only created show in the ledger below.
  const others = ours.filter((c) => c !== created && c.state !== 'created');
  const sharing = others.filter((c) => c.hostPort === created.hostPort);
  if (sharing.length > 0)
    onProblem(`rule 5: the port ${created.hostPort} was given out while another has it`);
  const userOf = (id: string, label: string | null) => records.get(id)?.told?.user ?? label;
  const counts = countBy(ours, (c) => userOf(c.id, decodeLabels(c.labels)!.birth.user));
  for (const [user, count] of counts) {
    if (user !== null && count > settings.userLimit) onProblem(`rule 1: ${user} has ${count} on the machine`);
  }
  const listed = life()?.ledger.list() ?? [];
  if (listed.length > settings.maxContainers) onProblem(`rule 1: ${listed.length} places in the ledger`);
  const ports = listed.flatMap((e) => e.ports.map((p) => p.hostPort));
  if (new Set(ports).size !== ports.length) onProblem('rule 5: two in the ledger have the same port');
  for (const [key, count] of countBy(listed, (e) => e.imageKey)) {
    const most = key === 'idles' ? 3 : key === 'warm' ? 4 : Number.POSITIVE_INFINITY;
    if (count > most) onProblem(`rule 1: ${count} of the entry ${key}`);
  }
}

/** The order of phases, and that nothing ends without a reason. */
export function checkEvent(view: RulesView, event: SpawnerEvent): void {
  const { records, settings, onProblem } = view;
  const nowMs = view.nowMs();
  const record = records.of(event);
  // There may be no port left for it.
  if (view.machine.strangers.size > 0) record.faulted = true;
  const wrong = follow(record, event, nowMs);
  if (wrong) onProblem(`phases of ${record.id}: ${wrong}`);
  if (event.kind === 'asleep' && !record.sleepAsked && !isIdle(record, nowMs)) {
    onProblem(`${record.id} fell asleep though it is used`);
  }
  if (event.kind === 'asleep') record.sleepAsked = false;
  if (event.kind === 'extended') extendTo(record, Number(event.data.expires_at_ms));
  if (event.kind !== 'stopping') return;
  const reason = event.data.reason as NonNullable<ContainerRecord['ended']>;
  record.ended = reason;
  const replaced =
    settings.onUserLimit === 'replace' && record.told !== null && view.waitingUsers().has(record.told.user);
  if (record.told && !mayEnd(record, reason, nowMs, replaced)) {
    onProblem(`rule 2: ${record.id} (${record.imageKey}), which somebody has, was ended: ${reason}`);
  }
}

function extendTo(record: ContainerRecord, expiresAtMs: number): void {
  if (!record.told) return;
  const byMs = expiresAtMs - record.told.expiresAtMs;
  record.told.expiresAtMs = expiresAtMs;
  record.deadline = {
    earliestMs: record.deadline.earliestMs + byMs,
    latestMs: record.deadline.latestMs + byMs,
  };
}

/** What holds at every moment at which the interfaces are open. */
export function checkMoment(view: RulesView): void {
  const { settings, machine, records, onProblem } = view;
  const life = view.life();
  if (!life || life.dead || life.openMs === null) return;
  const { core, openMs } = life;
  const nowMs = view.nowMs();
  const all = [...core.commands.all()];
  if (all.length > settings.maxContainers) onProblem(`rule 1: ${all.length} containers`);
  for (const [user, count] of countBy(all, (c) => c.user)) {
    if (user !== null && count > settings.userLimit) onProblem(`rule 1: ${user} has ${count}`);
  }
  for (const record of records.served()) {
    const { id, told } = record;
    const container = core.commands.get(id);
    if (!container) {
      onProblem(`rule 2: ${id}, which somebody has, is not known`);
      continue;
    }
    const isSame = container.user === told!.user && container.expiresAtMs === told!.expiresAtMs;
    if (!isSame) onProblem(`rule 2: ${id} has changed: ${container.user}, ${container.expiresAtMs}`);
    if (nowMs > Math.max(record.deadline.latestMs, openMs) + 1000)
      onProblem(`rule 8: ${id} outlived its deadline`);
    const isLate = nowMs > Math.max(record.lastUseMs, openMs) + idleMs + 1000;
    const minds = container.lifecycle.idleMs !== null && container.phase === 'ready';
    if (minds && isIdle(record, nowMs) && isLate) onProblem(`${id} is idle, and nothing becomes of it`);
    const route = core.routes.get(`${id}.example.test`);
    if (route?.state !== 'ready') continue;
    const reached = machine.atPort(route.upstream!.port);
    if (reached && reached.id !== id) onProblem(`rule 5: requests for ${id} reach ${reached.id}`);
  }
}

function countBy<T, K>(items: Iterable<T>, keyOf: (item: T) => K): Map<K, number> {
  const counts = new Map<K, number>();
  for (const item of items) counts.set(keyOf(item), (counts.get(keyOf(item)) ?? 0) + 1);
  return counts;
}
