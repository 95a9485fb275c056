/** A dashboard in the JSON of Grafana, from its short form. */

export interface Query {
  expr: string
  legend: string
}

/** `stat`: one number for each series, as it is now. `lines`: its course over time. */
export interface Panel {
  title: string
  /** What the reader learns from it, and what to do when it is not as it should be. */
  tells: string
  shows: 'stat' | 'lines'
  /** As Grafana names units: `s`, `bytes`, `reqps`, `percentunit`, `short`. */
  unit: string
  queries: readonly Query[]
  /** From here on red; a panel without it has no colour. */
  badFrom?: number
  /** Red below this. */
  badBelow?: number
}

export interface Dashboard {
  uid: string
  title: string
  question: string
  panels: readonly Panel[]
}

/** The data source that provisioning/datasources declares. */
const DATASOURCE = { type: 'prometheus', uid: 'baton-prometheus' }
const COLUMNS = 24
const SIZES = { stat: { w: 6, h: 5 }, lines: { w: 12, h: 8 } } as const

/** What Grafana reads from a file. Panels fill rows from left to right in their order. */
export function grafanaDashboard(dashboard: Dashboard) {
  return {
    uid: dashboard.uid,
    title: `Baton: ${dashboard.title}`,
    description: dashboard.question,
    tags: ['baton'],
    schemaVersion: 39,
    version: 1,
    editable: true,
    graphTooltip: 1,
    refresh: '10s',
    time: { from: 'now-1h', to: 'now' },
    timezone: 'utc',
    links: [{ type: 'dashboards', title: 'Baton', tags: ['baton'], asDropdown: false, includeVars: false, keepTime: true }],
    annotations: { list: [] },
    templating: { list: [] },
    panels: placed(dashboard.panels).map(({ panel, gridPos }, index) => panelOf(panel, gridPos, index + 1)),
  }
}

interface GridPos {
  x: number
  y: number
  w: number
  h: number
}

function placed(panels: readonly Panel[]): { panel: Panel; gridPos: GridPos }[] {
  let [x, y, rowHeight] = [0, 0, 0]
  return panels.map((panel) => {
    const size = SIZES[panel.shows]
    if (x + size.w > COLUMNS) {
      x = 0
      y += rowHeight
      rowHeight = 0
    }
    const gridPos = { x, y, ...size }
    x += size.w
    rowHeight = Math.max(rowHeight, size.h)
    return { panel, gridPos }
  })
}

function panelOf(panel: Panel, gridPos: GridPos, id: number) {
  const { title, tells: description, unit, shows } = panel
  return {
    id,
    type: shows === 'stat' ? 'stat' : 'timeseries',
    title,
    description,
    datasource: DATASOURCE,
    gridPos,
    fieldConfig: { defaults: { unit, min: 0, ...colours(panel) }, overrides: [] },
    options:
      shows === 'stat'
        ? { reduceOptions: { calcs: ['lastNotNull'] }, colorMode: 'value', graphMode: 'area', textMode: 'auto' }
        : { legend: { displayMode: 'list', placement: 'bottom' }, tooltip: { mode: 'multi', sort: 'desc' } },
    targets: panel.queries.map(({ expr, legend }, index) => ({
      refId: String.fromCharCode('A'.charCodeAt(0) + index),
      datasource: DATASOURCE,
      expr,
      legendFormat: legend,
      ...(shows === 'stat' ? { instant: true } : { range: true }),
    })),
  }
}

function colours({ badFrom, badBelow, shows }: Panel) {
  const custom = shows === 'lines' ? { custom: { drawStyle: 'line', fillOpacity: 10, showPoints: 'never', spanNulls: true } } : {}
  if (badFrom === undefined && badBelow === undefined) return { ...custom, color: { mode: shows === 'stat' ? 'fixed' : 'palette-classic' } }
  const steps =
    badFrom === undefined
      ? [
          { color: 'red', value: null },
          { color: 'green', value: badBelow },
        ]
      : [
          { color: 'green', value: null },
          { color: 'red', value: badFrom },
        ]
  return { ...custom, color: { mode: shows === 'stat' ? 'thresholds' : 'palette-classic' }, thresholds: { mode: 'absolute', steps } }
}
