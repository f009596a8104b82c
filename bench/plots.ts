/**
 * Plots as SVG, drawn by Apache ECharts without a browser: each for a light and for a dark page.
 */
import { peers } from './environment.js';
import { median, ratio, type Measurement } from './measure.js';
import type { Recording } from './recording.js';

interface Charts {
  init(
    element: null,
    theme: null,
    options: { renderer: 'svg'; ssr: true; width: number; height: number },
  ): { setOption(option: object): void; renderToSVGString(): string; dispose(): void };
}

const themes = {
  light: { text: '#1f2328', line: '#d1d9e0', colors: ['#0969da', '#bc4c00', '#1a7f37'] },
  dark: { text: '#f0f6fc', line: '#3d444d', colors: ['#4493f8', '#db6d28', '#3fb950'] },
} as const;

type Theme = (typeof themes)[keyof typeof themes];

const widthPixels = 760;
const barPixels = 30;
const marginPixels = 90;
/** A fixed width: without a browser, text cannot be measured. */
const namesPixels = 210;

interface Bars {
  readonly names: readonly string[];
  readonly series: readonly { readonly name: string; readonly values: readonly number[] }[];
  readonly unit: string;
  readonly logarithmic?: boolean;
}

export function drawPlots({ measurements }: Recording): ReadonlyMap<string, string> {
  const of = (part: string): readonly Measurement[] => measurements.filter((one) => one.part === part);
  const plots = new Map<string, (theme: Theme) => string>();
  const bars = (name: string, drawn: Bars): void => {
    if (drawn.names.length > 0) plots.set(name, (theme) => drawBars(drawn, theme));
  };
  bars('claim', byGroup(of('claim'), 'µs of processor time for listen and close', true));
  bars('failover', byGroup(of('failover'), 'ms without a server'));
  const lost = of('handover').filter(({ group }) => group === 'refused' || group === 'reset');
  bars('handover', byGroup(lost, 'connections refused or reset in one reload'));
  bars('tcp', unixToTcp(of('tcp')));
  const growth = of('growth').filter(({ group }) => group === 'one more address');
  if (growth.length > 0) plots.set('growth', (theme) => drawGrowth(growth, theme));
  return new Map(
    [...plots].flatMap(([name, draw]) =>
      Object.entries(themes).map(([theme, colors]) => [`${name}-${theme}`, draw(colors)] as const),
    ),
  );
}

function byGroup(measurements: readonly Measurement[], unit: string, logarithmic = unit.startsWith('ms')): Bars {
  const names = [...new Set(measurements.map(({ subject }) => subject))];
  const groups = [...new Set(measurements.map(({ group }) => group))];
  const value = (group: string, subject: string): number =>
    median(measurements.find((one) => one.group === group && one.subject === subject)?.values ?? []);
  return {
    names,
    unit,
    logarithmic,
    series: groups.map((name) => ({ name, values: names.map((subject) => value(name, subject)) })),
  };
}

/** Returns how many times as fast a Unix socket is, in whichever direction the unit counts. */
function unixToTcp(measurements: readonly Measurement[]): Bars {
  const pairs = measurements.flatMap((unix) => {
    const tcp = measurements.find(({ group, subject }) => group === unix.group && subject === 'TCP');
    if (unix.subject !== 'Unix' || tcp === undefined) return [];
    return [{ name: unix.group, value: (unix.better === 'higher' ? ratio(unix, tcp) : ratio(tcp, unix)).median }];
  });
  return {
    names: pairs.map(({ name }) => name),
    unit: 'times as fast as TCP',
    series: [{ name: 'Unix', values: pairs.map(({ value }) => value) }],
  };
}

function drawBars({ names, series, unit, logarithmic = false }: Bars, theme: Theme): string {
  const height = names.length * series.length * barPixels + marginPixels;
  return render(height, theme, {
    legend: { show: series.length > 1, textStyle: { color: theme.text }, top: 0 },
    grid: { left: namesPixels, right: 60, top: series.length > 1 ? 32 : 8, bottom: 50 },
    yAxis: { type: 'category', data: names, inverse: true, ...axis(theme), splitLine: { show: false } },
    xAxis: { type: logarithmic ? 'log' : 'value', name: unit, nameLocation: 'middle', nameGap: 26, ...axis(theme) },
    series: series.map((one) => ({
      type: 'bar',
      name: one.name,
      data: one.values.map((value) => Number(value.toPrecision(3))),
      label: { show: true, position: 'right', color: theme.text },
    })),
  });
}

function drawGrowth(measurements: readonly Measurement[], theme: Theme): string {
  const kinds = [...new Set(measurements.map(({ subject }) => subject.split(',', 1)[0] ?? ''))];
  return render(320, theme, {
    legend: { textStyle: { color: theme.text }, top: 0 },
    grid: { left: 70, right: 30, top: 36, bottom: 50 },
    xAxis: { type: 'log', name: 'addresses in one process', nameLocation: 'middle', nameGap: 26, ...axis(theme) },
    yAxis: { type: 'log', name: 'µs for one more', ...axis(theme) },
    series: kinds.map((name) => ({
      type: 'line',
      name,
      data: measurements
        .filter(({ subject }) => subject.startsWith(`${name},`))
        .map(({ subject, values }) => [Number(subject.split(', ')[1]), Number(median(values).toPrecision(3))]),
    })),
  });
}

function axis(theme: Theme): object {
  return {
    axisLabel: { color: theme.text },
    nameTextStyle: { color: theme.text },
    axisLine: { lineStyle: { color: theme.line } },
    splitLine: { lineStyle: { color: theme.line } },
  };
}

function render(height: number, theme: Theme, option: object): string {
  const chart = (peers('echarts') as Charts).init(null, null, { renderer: 'svg', ssr: true, width: widthPixels, height });
  chart.setOption({ animation: false, color: theme.colors, textStyle: { fontFamily: 'sans-serif' }, ...option });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return `${svg}\n`;
}
