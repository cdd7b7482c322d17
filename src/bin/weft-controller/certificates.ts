import type { Clock, Timer } from '../../base/clock.ts';
import type { ModuleLog } from '../../base/log.ts';

/** How often the files are looked at. */
const LOOK_MS = 10_000;

/**
 * Has `reload` called whenever `fingerprint` differs: certificates are renewed while the controller runs. Where the new files
 * cannot be used, that is logged, and they are tried again when they change again; what was read before goes on.
 *
 * @returns ends it
 */
export function followCertificates(
  clock: Clock,
  log: ModuleLog,
  fingerprint: () => string,
  reload: () => void,
): () => void {
  let known = fingerprint();
  let timer: Timer;
  const look = (): void => {
    const now = fingerprint();
    if (now !== known) {
      known = now;
      try {
        reload();
        log.info('the key and certificate of the API were read anew');
      } catch (error) {
        log.err(`the key and certificate of the API cannot be read anew: ${(error as Error).message}`);
      }
    }
    timer = clock.after(LOOK_MS, look);
  };
  timer = clock.after(LOOK_MS, look);
  return () => timer.cancel();
}
