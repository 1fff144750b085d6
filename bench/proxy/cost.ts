import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

/** What the processes of one program use, threads and children included: read from /proc (Linux). */

/** The kernel counts CPU time for /proc in these units, on every architecture that Node runs on (proc(5)). */
const tickUs = 10_000;

/** User and system time of a process, all its threads and all its descendants, in microseconds. */
export function cpuUs(pid: number): number {
  let ticks = 0;
  for (const member of family(pid)) {
    const fields = statFields(member);
    // utime, stime, and of children that were waited for: cutime, cstime (proc(5), fields 14 to 17).
    for (let field = 14; field <= 17; field++) ticks += Number(fields[field - 3]);
  }
  return ticks * tickUs;
}

/** Resident memory of a process and its descendants, in bytes. */
export function residentBytes(pid: number): number {
  return sum(family(pid).map((member) => statusBytes(member, 'VmRSS')));
}

/** The highest resident memory since `resetPeak`, in bytes. */
export function peakBytes(pid: number): number {
  return sum(family(pid).map((member) => statusBytes(member, 'VmHWM')));
}

export function resetPeak(pid: number): void {
  // 5: resets the peak of the resident set (proc(5), clear_refs).
  for (const member of family(pid)) writeFileSync(`/proc/${member}/clear_refs`, '5');
}

/** How many descriptors a process has open. */
export function openDescriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

function family(pid: number): number[] {
  const children = readdirSync(`/proc/${pid}/task`)
    .map((thread) => readFileSync(`/proc/${pid}/task/${thread}/children`, 'latin1'))
    .flatMap((text) => text.split(' ').filter((part) => part !== ''))
    .map(Number);
  return [pid, ...children.flatMap(family)];
}

/** The fields after the program's name, which may hold blanks and brackets: index 0 is field 3. */
function statFields(pid: number): string[] {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}

function statusBytes(pid: number, key: string): number {
  const found = new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'latin1'));
  return Number(found?.[1] ?? 0) * 1024;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
