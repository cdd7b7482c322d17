import { join } from 'node:path';

/** What is wrong with a controller's target, in words for the log; null: nothing. */
export function targetRefusal(bridge: string, runDir: string, target: string): string | null {
  const listens = target.startsWith('punix:');
  if (!listens && !target.startsWith('unix:')) return null;
  const path = target.slice(listens ? 6 : 5);
  if (!listens && !path.includes('/')) return null;
  // Who may write the database can still not make us connect to, or put in place of a file, whatever
  // socket he likes: only those of the run directory and, to listen on, of the bridge's name.
  const prefix = listens ? `${join(runDir)}/${bridge}.` : `${join(runDir)}/`;
  const plain = join(path);
  if (plain.startsWith(prefix) && !plain.slice(prefix.length).includes('/')) return null;
  const instead = `connect to "unix:${runDir}/${bridge}.mgmt", which is always there`;
  return listens
    ? `bridge ${bridge}: Not adding Unix domain socket controller "${target}", which might overwrite local files: use "punix:${prefix}*", or ${instead}`
    : `bridge ${bridge}: Not connecting to socket controller "${target}", which might be used against the host: use "unix:${prefix}*", or ${instead}`;
}
