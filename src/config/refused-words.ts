/**
 * Words that somebody may rightly expect in an image entry and that do not work, so that they are refused by
 * name and with a reason, never ignored.
 */
export function refusalOf(word: string): string | null {
  if (never.has(word)) return `\`${word}\` is never supported: ${never.get(word)}`;
  if (instead.has(word)) return `\`${word}\` is a Compose word that is not supported: ${instead.get(word)}`;
  if (later.has(word)) return `\`${word}\` is not supported yet; remove it`;
  if (!composeWords.has(word)) return null;
  return `\`${word}\` is a Compose word that Docker Spawner does not support (yet); remove it`;
}

const never: ReadonlyMap<string, string> = new Map([
  ['privileged', 'it would hand the whole host to whoever is in the container'],
  ['use_api_socket', 'it would hand the engine, and with it the host, to whoever is in the container'],
]);

const instead: ReadonlyMap<string, string> = new Map([
  ['build', 'build the image first and name it in `image`'],
  ['container_name', 'names are made from `container_prefix` and the id'],
  ['env_file', 'write the variables in `environment`'],
  ['expose', 'write the port of the web server in `port`'],
  ['networks', 'name one existing network in `network_mode`'],
  ['net', 'name one existing network in `network_mode`'],
  ['healthcheck', 'say in `ready` which answer counts'],
  ['restart', 'a container that ends is removed, and its place is free again'],
  ['deploy', 'use `mem_limit`, `cpus` and `pids_limit`'],
  ['scale', 'every spawn makes one container'],
  ['label_file', 'write the labels in `labels`'],
  ['log_driver', 'use `logging`'],
  ['log_opt', 'use `logging`'],
]);

/** Ours, of later versions. */
const later: ReadonlySet<string> = new Set([...['ports', 'queue', 'access', 'routes']]);

/** The rest of what the Compose specification and its older versions know for a service. */
const composeWords: ReadonlySet<string> = new Set([
  ...['annotations', 'attach', 'blkio_config', 'cgroup', 'cgroup_parent', 'configs', 'cpu_count'],
  ...['cpu_percent', 'cpu_period', 'cpu_quota', 'cpu_rt_period', 'cpu_rt_runtime', 'cpu_shares', 'cpuset'],
  ...['credential_spec', 'depends_on', 'develop', 'device_cgroup_rules', 'dns_opt', 'dns_search'],
  ...['dockerfile', 'domainname', 'extends', 'external_links', 'gpus', 'group_add', 'hostname', 'ipc'],
  ...['isolation', 'links', 'mac_address', 'mem_reservation', 'mem_swappiness', 'memswap_limit', 'models'],
  ...['oom_kill_disable', 'oom_score_adj', 'pid', 'post_start', 'pre_start', 'pre_stop', 'profiles'],
  ...['provider', 'secrets', 'stdin_open', 'storage_opt', 'sysctls', 'tty', 'userns_mode', 'uts'],
  ...['volume_driver', 'volumes_from'],
]);
