import { type ChildProcess, execFileSync, spawn } from 'node:child_process';

export interface Finished {
  /** Exit status; null if a signal ended it. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Why there can be no namespaces here; false: there can. For a test's `skip`. */
export function networkMissing(...tools: readonly string[]): string | false {
  if (process.getuid?.() !== 0) return 'needs root, to make network namespaces';
  for (const tool of ['ip', ...tools]) {
    try {
      execFileSync('sh', ['-c', `command -v ${tool}`], { stdio: 'ignore' });
    } catch {
      return `${tool} is not installed`;
    }
  }
  return false;
}

/**
 * Network namespaces and the processes in them, for one test. Names start with "weft" and a random
 * part; `close` removes all of it, whatever has happened.
 */
export class Network {
  readonly #prefix = `weft${Math.floor(Math.random() * 2 ** 32).toString(36)}`;
  readonly #names: string[] = [];
  readonly #children: ChildProcess[] = [];

  /** Makes a namespace and returns its full name. */
  namespace(name: string): string {
    const full = `${this.#prefix}-${name}`;
    this.#ip('netns', 'add', full);
    this.#names.push(full);
    this.ip(full, 'link', 'set', 'lo', 'up');
    return full;
  }

  /** Where a namespace can be opened. */
  path(namespace: string): string {
    return `/run/netns/${namespace}`;
  }

  /** `ip -n NAMESPACE ...`, which must succeed. */
  ip(namespace: string, ...args: readonly string[]): string {
    return this.#ip('-n', namespace, ...args);
  }

  /**
   * A veth pair from `device` in `inner` (a guest's "eth0") to `port` in `outer` (the switch's side), both up
   * and without the kernel's own IPv6 chatter.
   */
  veth(inner: string, device: string, outer: string, port: string, mac: string, address?: string): void {
    this.ip(outer, 'link', 'add', port, 'type', 'veth', 'peer', 'name', device, 'netns', inner);
    for (const [ns, dev] of [
      [inner, device],
      [outer, port],
    ]) {
      this.ip(ns, 'link', 'set', dev, 'addrgenmode', 'none');
    }
    this.ip(inner, 'link', 'set', device, 'address', mac);
    if (address !== undefined) this.ip(inner, 'addr', 'add', address, 'dev', device);
    this.ip(inner, 'link', 'set', device, 'up');
    this.ip(outer, 'link', 'set', port, 'up');
  }

  /** Starts a process in a namespace; it ends with `close` at the latest. */
  start(
    namespace: string,
    command: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv = {},
  ): ChildProcess {
    const child = spawn('ip', ['netns', 'exec', namespace, command, ...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    this.#children.push(child);
    return child;
  }

  /** Runs a command in a namespace to its end. */
  run(
    namespace: string,
    command: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv = {},
  ): Promise<Finished> {
    const child = this.start(namespace, command, args, env);
    let stdout = '';
    let stderr = '';
    child.stdout?.on('data', (data: Buffer) => {
      stdout += data.toString();
    });
    child.stderr?.on('data', (data: Buffer) => {
      stderr += data.toString();
    });
    return new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (status) => resolve({ status, stdout, stderr }));
    });
  }

  close(): void {
    for (const child of this.#children) if (child.exitCode === null) child.kill('SIGKILL');
    for (const name of this.#names.splice(0)) {
      try {
        this.#ip('netns', 'del', name);
      } catch {
        // It is gone, or the next one is more important.
      }
    }
  }

  #ip(...args: readonly string[]): string {
    return execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  }
}

/** Resolves when a process has written `text` to its standard output. */
export function saysOnStdout(child: ChildProcess, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let seen = '';
    child.stdout?.on('data', (data: Buffer) => {
      seen += data.toString();
      if (seen.includes(text)) resolve();
    });
    child.on('close', () => reject(new Error(`the process ended without saying "${text}", but: ${seen}`)));
  });
}
