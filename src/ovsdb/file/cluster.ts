/**
 * # Clusters of one
 *
 * A clustered database is a log of the RAFT algorithm (ovsdb(7), "Clustered Database Service Model"). A
 * cluster that has one member needs no algorithm: what that member writes is agreed upon. So such files
 * can be served, and stock tools and servers can go on with what we wrote: records carry term, index
 * and entry id as theirs do. A file that names more than one member is refused, since others might
 * count on this one's vote.
 *
 * The first record is a header with a snapshot; then come entries (`index`, `data`), votes, leaders and
 * commit indexes. An entry's data is `[<schema or null>, <transaction>]`.
 */
import type { ModuleLog } from '../../base/log.ts';
import { ZERO_UUID } from '../data/atom.ts';
import { Database } from '../engine/database.ts';
import { History } from '../engine/history.ts';
import { OvsdbError } from '../error.ts';
import { asInteger, isJsonArray, isJsonObject, type Json, type JsonObject, member } from '../json.ts';
import { parseSchema, schemaToJson } from '../schema/schema.ts';
import type { Log } from './log.ts';
import { CompactionPolicy, type DatabaseStorage, type OpenOptions } from './policy.ts';
import { applyRecord, snapshotOf } from './record.ts';

interface Identity {
  readonly name: string;
  readonly cluster: string;
  readonly server: string;
  readonly address: string;
}

function text(json: JsonObject, name: string): string {
  const value = member(json, name);
  if (typeof value !== 'string') throw new OvsdbError('ovsdb error', `clustered database lacks "${name}"`);
  return value;
}

function count(json: JsonObject, name: string): number {
  return Number(asInteger(member(json, name)) ?? 0);
}

export class ClusterFile implements DatabaseStorage {
  readonly model = 'clustered';
  readonly #log: Log;
  readonly #identity: Identity;
  readonly #newUuid: () => string;
  readonly #policy: CompactionPolicy;
  #db: Database | undefined;
  #term: number;
  #index: number;
  /** Index of the first entry behind the snapshot. */
  #first: number;
  /** Id of the newest entry that changed the database. */
  #entryId: string;
  history: History | undefined;

  private constructor(log: Log, header: JsonObject, newUuid: () => string, now: number) {
    this.#log = log;
    this.#newUuid = newUuid;
    this.#identity = {
      name: text(header, 'name'),
      cluster: text(header, 'cluster_id'),
      server: text(header, 'server_id'),
      address: text(header, 'local_address'),
    };
    this.#term = count(header, 'prev_term');
    this.#index = count(header, 'prev_index');
    this.#first = this.#index + 1;
    this.#entryId = typeof header.prev_eid === 'string' ? header.prev_eid : ZERO_UUID;
    this.#policy = new CompactionPolicy(now);
  }

  /** Reads the rest of a log whose magic was "CLUSTER". Throws `OvsdbError`. */
  static open(log: Log, options: OpenOptions): { db: Database; file: ClusterFile } {
    const header = log.read();
    if (header === null) throw new OvsdbError('ovsdb error', `${log.name}: file holds no header`);
    refuseCompany(log.name, member(header, 'prev_servers'));
    if (member(header, 'remote_addresses') !== undefined) {
      throw new OvsdbError('ovsdb error', `${log.name}: this server has not joined its cluster yet`);
    }
    const file = new ClusterFile(log, header, options.newUuid, options.now);
    const snapshot = member(header, 'prev_data');
    if (isJsonArray(snapshot)) file.#applyData(snapshot);
    file.#readEntries(options.log);
    const db = file.#db;
    if (db === undefined) throw new OvsdbError('ovsdb error', `${log.name}: file holds no schema`);
    file.#becomeLeader();
    db.journal = file;
    return { db, file };
  }

  #readEntries(errors: ModuleLog): void {
    const log = this.#log;
    try {
      for (let record = log.read(); record !== null; record = log.read()) {
        try {
          this.#onRecord(record);
        } catch (error) {
          log.unread();
          throw error;
        }
        this.#policy.onRecord(log.size);
      }
    } catch (error) {
      if (!(error instanceof OvsdbError)) throw error;
      errors.err(error.message);
    }
  }

  #onRecord(record: JsonObject): void {
    this.#term = Math.max(this.#term, count(record, 'term'));
    refuseCompany(this.#log.name, member(record, 'servers'));
    const index = count(record, 'index');
    if (index === 0) return;
    if (index !== this.#index + 1) {
      throw new OvsdbError('ovsdb error', `${this.#log.name}: entry ${index} follows entry ${this.#index}`);
    }
    const data = member(record, 'data');
    if (isJsonArray(data)) {
      this.#entryId = text(record, 'eid');
      this.#applyData(data);
    }
    this.#index = index;
  }

  #applyData([schemaJson, transaction]: readonly Json[]): void {
    if (isJsonObject(schemaJson)) {
      this.#db = new Database(parseSchema(schemaJson), { newUuid: this.#newUuid });
      this.history = new History(this.#db, () => this.#entryId);
    }
    if (!isJsonObject(transaction)) return;
    if (this.#db === undefined) throw new OvsdbError('ovsdb error', `${this.#log.name}: data without schema`);
    applyRecord(this.#db, transaction);
  }

  /** Writes what a server writes that won its election: its vote, that it leads, and an empty entry. */
  #becomeLeader(): void {
    const { server } = this.#identity;
    this.#term++;
    this.#log.append({ term: this.#term, vote: server });
    this.#log.append({ term: this.#term, leader: server });
    this.#appendEntry({});
  }

  #appendEntry(content: JsonObject): void {
    const index = this.#index + 1;
    this.#log.append({ term: this.#term, index, ...content });
    this.#index = index;
    // If this one is lost, the entry still counts at the next start: nobody else has a say.
    this.#log.append({ commit_index: index });
    this.#policy.onRecord(this.#log.size);
  }

  get name(): string {
    return this.#log.name;
  }

  get size(): number {
    return this.#log.size;
  }

  /** For `_Server`: ids of cluster and server, and the newest entry. */
  get position(): { readonly cid: string; readonly sid: string; readonly index: number } {
    return { cid: this.#identity.cluster, sid: this.#identity.server, index: this.#index };
  }

  append(record: JsonObject): void {
    const eid = this.#newUuid();
    this.#appendEntry({ data: [null, record], eid });
    this.#entryId = eid;
  }

  sync(): Promise<void> {
    return this.#log.sync();
  }

  shouldCompact(now: number): boolean {
    return this.#policy.isDue(now, this.#log.size);
  }

  compact(db: Database, now: number, wall: number): void {
    this.#policy.started(now);
    this.replaceDatabase(db, 'compacting database online', wall);
  }

  replaceDatabase(db: Database, comment: string, wall: number): void {
    const { name, cluster, server, address } = this.#identity;
    const schema = schemaToJson(db.schema);
    if (this.history === undefined || db.journal !== this) {
      // The database was converted to another schema: its history ends, its entry is a new one.
      this.#index++;
      this.#entryId = this.#newUuid();
      this.history = new History(db, () => this.#entryId);
    }
    this.#log.replace([
      {
        server_id: server,
        cluster_id: cluster,
        local_address: address,
        name,
        prev_servers: { [server]: address },
        prev_index: this.#index,
        prev_term: this.#term,
        prev_data: [schema, snapshotOf(db, { comment, date: wall, diffs: true })],
        prev_eid: this.#entryId,
      },
      { term: this.#term, vote: server },
    ]);
    this.#first = this.#index + 1;
    this.#policy.compacted(this.#log.size);
  }

  /** The reply of `cluster/status`. */
  get status(): string {
    const { name, cluster, server, address } = this.#identity;
    const short = (id: string): string => `${id.slice(0, 4)} (${id})`;
    return [
      nickname(address),
      `Name: ${name}`,
      `Cluster ID: ${short(cluster)}`,
      `Server ID: ${short(server)}`,
      `Address: ${address}`,
      'Status: cluster member',
      'Role: leader',
      `Term: ${this.#term}`,
      'Leader: self',
      'Vote: self',
      '',
      'Election timer: 1000',
      `Log: [${this.#first}, ${this.#index + 1}]`,
      'Entries not yet committed: 0',
      'Entries not yet applied: 0',
      'Connections:',
      'Disconnections: 0',
      'Servers:',
      `    ${nickname(address)} (${server.slice(0, 4)} at ${address}) (self) next_index=${this.#first} match_index=${this.#index}`,
      '',
    ].join('\n');
  }

  close(): void {
    this.#log.close();
  }
}

/** "s1" of "unix:s1.raft", for people. */
function nickname(address: string): string {
  return /^unix:(?:.*\/)?([^/]*?)(?:\.raft)?$/.exec(address)?.[1] ?? address;
}

function refuseCompany(name: string, servers: Json | undefined): void {
  if (!isJsonObject(servers) || Object.keys(servers).length <= 1) return;
  throw new OvsdbError(
    'ovsdb error',
    `${name}: the cluster of this database has ${Object.keys(servers).length} members, and this server can serve clusters of one only; make it standalone with "ovsdb-tool cluster-to-standalone"`,
  );
}
