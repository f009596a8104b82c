/** The output of the demo: plain text in 80 columns, coloured on a terminal only. */
import { styleText } from 'node:util';
import { good, schemes, steps, type Outcome, type Outcomes, type Step } from './outcomes.js';
import type { Scheme } from './messages.js';

type Style = Parameters<typeof styleText>[0];

const columnsMax = 80;
const stepColumns = 22;

function paint(style: Style, text: string): string {
  return process.stdout.isTTY && process.stdout.hasColors() ? styleText(style, text) : text;
}

function print(line = ''): void {
  process.stdout.write(`${line}\n`);
}

export function printTitle(title: string, text: string): void {
  print();
  print(`  ${paint('bold', title)}`);
  for (const line of wrap(text, columnsMax - 4)) print(`  ${line}`);
}

export function printHeading(title: string, text: string): void {
  print();
  print(`  ${paint(['bold', 'cyan'], title.padEnd(stepColumns))}${paint('dim', text)}`);
}

export type ServiceStep = 'wait' | 'handover' | 'run, SIGHUP' | 'run, kill -9';

/** Prints a step and its outcome. */
export function printStep(step: Step | ServiceStep | 'stop' | 'inspect', isGood: boolean, text: string): void {
  print(`  ${mark(isGood)} ${step.trimStart().padEnd(stepColumns - 2)}${text}`);
}

/** Prints the words of a program as they are. */
export function printQuote(text: string): void {
  for (const line of wrap(text, columnsMax - stepColumns - 4))
    print(`${' '.repeat(stepColumns + 2)}${paint('dim', `│ ${line}`)}`);
}

/** Prints all schemes side by side. */
export function printTable(results: Readonly<Partial<Record<Scheme, Outcomes>>>): void {
  print();
  print(`  ${paint('bold', (' '.repeat(stepColumns) + schemes.map(cell).join('')).trimEnd())}`);
  for (const step of steps) {
    const outcomes = schemes.map((scheme) => results[scheme]?.[step]);
    print(`  ${step.padEnd(stepColumns)}${outcomes.map((outcome) => showOutcome(step, outcome)).join('')}`.trimEnd());
  }
}

export function printEnd(failures: readonly string[], summary: string): void {
  print();
  for (const failure of failures) print(`  ${paint('red', `Not as described: ${failure}`)}`);
  if (failures.length === 0)
    print(`  ${paint(['bold', 'green'], 'Everything happened as described, the crosses included.')} ${paint('dim', summary)}`);
  print();
}

function showOutcome(step: Step, outcome: Outcome | undefined): string {
  if (outcome === undefined) return cell('–');
  return `${mark(outcome === good[step])} ${outcome.padEnd(cellColumns - 2)}`;
}

const cellColumns = 14;

function cell(text: string): string {
  return text.padEnd(cellColumns);
}

function mark(isGood: boolean): string {
  return isGood ? paint('green', '✓') : paint('red', '✗');
}

function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > columns) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
