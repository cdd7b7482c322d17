import type { CacheEntry, TrafficStats } from '../xlate/types.ts';
import type { Megaflow } from './megaflow.ts';

/** Credits what a megaflow has carried to all that its packets pass: the translation cache, run again. */
export function pushStats(megaflow: Megaflow, stats: TrafficStats): void {
  applyEntries(megaflow.cache, stats);
}

/** Runs a translation cache for some packets. */
export function applyEntries(cache: readonly CacheEntry[], stats: TrafficStats): void {
  for (const entry of cache) applyEntry(entry, stats);
}

function applyEntry(entry: CacheEntry, stats: TrafficStats): void {
  switch (entry.type) {
    case 'rule':
      entry.ofproto.creditRule(entry.rule, stats);
      break;
    case 'table': {
      const table = entry.ofproto.services.table(entry.table);
      if (table === undefined) break;
      if (entry.matched) table.matched += stats.packets;
      else table.missed += stats.packets;
      break;
    }
    case 'port': {
      const { counters } = entry.port;
      if (entry.direction === 'rx') {
        counters.rxPackets += stats.packets;
        counters.rxBytes += stats.bytes;
        entry.port.monitor?.traffic();
      } else {
        counters.txPackets += stats.packets;
        counters.txBytes += stats.bytes;
      }
      break;
    }
    case 'normal': {
      const bundle = entry.ofproto.port(entry.inPort)?.bundle;
      if (!bundle) break;
      const { mac, vlan, gratuitousArp, ofproto } = entry;
      ofproto.macs.learn(mac, vlan, bundle, gratuitousArp, bundle.ports.length > 1);
      break;
    }
    case 'fin-timeout':
      entry.ofproto.finTimeout(entry, stats.tcpFlags);
      break;
    case 'learn':
      entry.apply();
      break;
    case 'mirror':
      entry.mirror.credit(stats.packets, stats.bytes);
      break;
    case 'group':
      entry.group.credit(entry.bucket, stats.packets, stats.bytes);
      break;
  }
}
