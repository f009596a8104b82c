import type { IntList } from './stateStore.js';

/**
 * The states' successors: those of state `i` are the edges from `firstEdge[i]` to `firstEdge[i +
 * 1]`, one for each move.
 */
export interface Graph {
  readonly edges: IntList;
  readonly firstEdge: IntList;
}

/**
 * The number of ways through an acyclic graph from state 0 to the states without a successor; exact
 * below 2^53. NaN for a graph with a circle: there are endless ways.
 */
export function countSchedules({ edges, firstEdge }: Graph): number {
  const states = firstEdge.length - 1;
  const waiting = new Uint32Array(states);
  for (let edge = 0; edge < edges.length; edge++) waiting[edges.at(edge)]!++;
  const ways = new Float64Array(states);
  ways[0] = 1;
  // A state comes when all ways to it have been counted.
  const ready = new Uint32Array(states);
  let [counted, known, total] = [0, 1, 0];
  while (counted < known) {
    const state = ready[counted++]!;
    const [first, end] = [firstEdge.at(state), firstEdge.at(state + 1)];
    if (first === end) total += ways[state]!;
    for (let edge = first; edge < end; edge++) {
      const next = edges.at(edge);
      ways[next]! += ways[state]!;
      if (--waiting[next]! === 0) ready[known++] = next;
    }
  }
  return counted === states ? total : NaN;
}
