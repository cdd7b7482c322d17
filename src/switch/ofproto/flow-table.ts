import { Classifier, DEFAULT_PREFIX_FIELDS, PREFIX_FIELDS } from '../../flow/classifier.ts';
import type { Field } from '../../flow/field.ts';
import { fieldByName } from '../../flow/fields.ts';
import type { Flow } from '../../flow/layout.ts';
import type { TableMiss, Vacancy } from '../../openflow/messages/table.ts';
import type { TableSettings } from '../conn/types.ts';
import type { LookupTable } from './ofproto.ts';
import type { Rule } from './rule.ts';

/** Who has set a table's name: the database's word counts more than a controller's. */
export type NameSource = 'none' | 'openflow' | 'database';

/** One OpenFlow flow table: its rules and what is configured for it. */
export class FlowTable implements LookupTable {
  readonly id: number;
  readonly classifier = new Classifier<Rule>();
  /** By cookie, so that a controller which owns one cookie among many finds its flows at once. */
  readonly byCookie = new Map<bigint, Set<Rule>>();
  miss: TableMiss = 'default';
  name = '';
  nameSource: NameSource = 'none';
  /** Most flows. */
  limit = Number.POSITIVE_INFINITY;
  /** Where the table is full: evict by OpenFlow's flag, or by the database's policy. */
  evictByOpenFlow = false;
  evictByDatabase = false;
  groups: readonly string[] = [];
  vacancy: Vacancy | null = null;
  matched = 0;
  missed = 0;
  /** Rules that the newest version sees. */
  count = 0;

  constructor(id: number) {
    this.id = id;
  }

  get evicts(): boolean {
    return this.evictByOpenFlow || this.evictByDatabase;
  }

  lookup(version: number, flow: Flow, wc: Flow | null): Rule | null {
    return this.classifier.lookup(version, flow, wc);
  }

  /** All of the newest version, whatever order. */
  rules(version: number): IterableIterator<Rule> {
    return this.classifier.rules(null, version);
  }

  configure(settings: TableSettings | undefined): void {
    if (settings === undefined) {
      if (this.nameSource === 'database') {
        this.name = '';
        this.nameSource = 'none';
      }
      this.limit = Number.POSITIVE_INFINITY;
      this.evictByDatabase = false;
      this.groups = [];
      this.#setPrefixes(DEFAULT_PREFIX_FIELDS);
      return;
    }
    if (settings.name !== '') {
      this.name = settings.name;
      this.nameSource = 'database';
    }
    this.limit = settings.flowLimit;
    this.evictByDatabase = settings.overflow === 'evict';
    this.groups = settings.groups;
    const wanted =
      settings.prefixes.length === 0
        ? DEFAULT_PREFIX_FIELDS
        : settings.prefixes
            .flatMap((name) => fieldByName(name) ?? [])
            .filter((f) => PREFIX_FIELDS.includes(f));
    this.#setPrefixes(wanted.slice(0, 4));
  }

  #setPrefixes(fields: readonly Field[]): void {
    const now = this.classifier.prefixFields;
    if (now.length === fields.length && now.every((field, i) => field === fields[i])) return;
    this.classifier.setPrefixFields(fields);
  }

  index(rule: Rule): void {
    let rules = this.byCookie.get(rule.cookie);
    if (rules === undefined) {
      rules = new Set();
      this.byCookie.set(rule.cookie, rules);
    }
    rules.add(rule);
  }

  unindex(rule: Rule): void {
    const rules = this.byCookie.get(rule.cookie);
    rules?.delete(rule);
    if (rules?.size === 0) this.byCookie.delete(rule.cookie);
  }
}
