import { Classifier, DEFAULT_PREFIX_FIELDS, PREFIX_FIELDS } from '../../flow/classifier.ts';
import type { Field } from '../../flow/field.ts';
import { fieldByName } from '../../flow/fields.ts';
import type { Flow } from '../../flow/layout.ts';
import { OFPTR_VACANCY_DOWN, OFPTR_VACANCY_UP } from '../../openflow/constants.ts';
import type { TableConfig, TableMiss } from '../../openflow/messages/table.ts';
import type { TableSettings } from '../conn/types.ts';
import { EvictionGroups } from './eviction.ts';
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
  /** Percent of the table: controllers hear when less than `vacancyDown`, or more than `vacancyUp`, is free. */
  vacancyDown = 0;
  vacancyUp = 0;
  /** OFPTR_VACANCY_*: what they will hear next; null: nothing. */
  vacancyEvent: number | null = null;
  matched = 0;
  missed = 0;
  /** Rules that the newest version sees, and those of them that controllers do not. */
  count = 0;
  hidden = 0;
  #eviction: EvictionGroups | null = null;

  constructor(id: number) {
    this.id = id;
  }

  /** Percent of the table that is free. */
  get vacancy(): number {
    if (this.limit === Number.POSITIVE_INFINITY) return 100;
    return this.limit === 0 ? 0 : Math.max(0, Math.floor(((this.limit - this.count) * 100) / this.limit));
  }

  /** The event that the table's filling has come to, once each time; null: none. */
  takeVacancyEvent(): number | null {
    if (this.vacancyEvent === null) return null;
    const { vacancy } = this;
    const event =
      vacancy < this.vacancyDown ? OFPTR_VACANCY_DOWN : vacancy > this.vacancyUp ? OFPTR_VACANCY_UP : null;
    if (event === null || event !== this.vacancyEvent) return null;
    this.vacancyEvent = event === OFPTR_VACANCY_DOWN ? OFPTR_VACANCY_UP : OFPTR_VACANCY_DOWN;
    return event;
  }

  /** What a controller's table mod says of eviction, vacancy and misses. */
  change(config: Omit<TableConfig, 'table'> & { readonly miss: TableMiss }): void {
    if (config.miss !== 'default') this.miss = config.miss;
    if (config.eviction !== null) this.evictByOpenFlow = config.eviction;
    if (config.vacancyEvents === null) return;
    this.vacancyDown = config.vacancy?.down ?? 0;
    this.vacancyUp = config.vacancy?.up ?? 0;
    if (!config.vacancyEvents) this.vacancyEvent = null;
    else this.vacancyEvent ??= this.vacancy < this.vacancyUp ? OFPTR_VACANCY_UP : OFPTR_VACANCY_DOWN;
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
    } else if (this.nameSource === 'database') {
      this.name = '';
      this.nameSource = 'none';
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
    this.#eviction?.add(rule);
  }

  /** A rule's timeouts are others than when it came. */
  timeoutsChanged(rule: Rule): void {
    this.#eviction?.add(rule);
  }

  /**
   * The flow that goes when room is wanted, of those in the newest version; null: none can. What it is chosen
   * by is built when it is first needed, and anew where the policy has changed.
   */
  victim(version: number): Rule | null {
    if (!this.evicts) return null;
    const { evictByOpenFlow: byImportance, groups } = this;
    const policy = this.#eviction?.policy;
    if (this.#eviction === null || policy?.byImportance !== byImportance || policy.groups !== groups) {
      this.#eviction = new EvictionGroups({ byImportance, groups });
      for (const rule of this.rules(version)) this.#eviction.add(rule);
    }
    return this.#eviction.victim();
  }

  unindex(rule: Rule): void {
    this.#eviction?.remove(rule);
    const rules = this.byCookie.get(rule.cookie);
    rules?.delete(rule);
    if (rules?.size === 0) this.byCookie.delete(rule.cookie);
  }
}
