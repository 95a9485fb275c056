/** Bar charts as one SVG: two panels beside each other, bars from left to right, readable on light and on dark ground. */
import { shown } from './report.ts'

/** One chart. */
export interface Panel {
  title: string
  unit: string
  better: 'more' | 'less'
  bars: readonly { label: string; value: number; ours: boolean }[]
}

const PANEL_WIDTH = 440
const GAP = 24
const LABEL_WIDTH = 130
const VALUE_WIDTH = 80
const HEAD = 34
const BAR = 18
const STEP = 24
const STYLE = [
  'text { font: 12px system-ui, sans-serif; fill: #24292f }',
  '.title { font-weight: 600 }',
  '.note { fill: #57606a }',
  '.bar { fill: #8c959f }',
  '.ours { fill: #0969da }',
  '@media (prefers-color-scheme: dark) {',
  'text { fill: #e6edf3 } .note { fill: #9198a1 } .bar { fill: #656d76 } .ours { fill: #4493f8 }',
  '}',
].join(' ')

/** Draws the panels. */
export function drawPlot(panels: readonly Panel[]): string {
  const rows = Array.from({ length: Math.ceil(panels.length / 2) }, (_, row) => panels.slice(row * 2, row * 2 + 2))
  let top = 8
  const drawn = rows.map((row) => {
    const here = top
    top += HEAD + Math.max(...row.map(({ bars }) => bars.length)) * STEP + 16
    return row.map((panel, column) => drawPanel(panel, column * (PANEL_WIDTH + GAP) + 8, here)).join('\n')
  })
  const width = 2 * PANEL_WIDTH + GAP + 16
  const described = panels.map(({ title }) => title).join('; ')
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${top}" width="${width}" height="${top}" role="img">`,
    `<title>${escapeXml(described)}</title>`,
    `<style>${STYLE}</style>`,
    ...drawn,
    '</svg>',
    '',
  ].join('\n')
}

function drawPanel({ title, unit, better, bars }: Panel, left: number, top: number): string {
  const most = Math.max(...bars.map(({ value }) => value), Number.MIN_VALUE)
  const room = PANEL_WIDTH - LABEL_WIDTH - VALUE_WIDTH
  const lines = bars.map(({ label, value, ours }, index) => {
    const y = top + HEAD + index * STEP
    const width = Math.max(1, (value / most) * room)
    const middle = y + BAR / 2 + 4
    return [
      `<text x="${left + LABEL_WIDTH - 8}" y="${middle}" text-anchor="end"${ours ? ' class="title"' : ''}>${escapeXml(label)}</text>`,
      `<rect x="${left + LABEL_WIDTH}" y="${y}" width="${width.toFixed(1)}" height="${BAR}" rx="2" class="${ours ? 'ours' : 'bar'}"/>`,
      `<text x="${(left + LABEL_WIDTH + width + 6).toFixed(1)}" y="${middle}">${shown(value)} ${escapeXml(unit)}</text>`,
    ].join('\n')
  })
  const head = `<text x="${left}" y="${top + 14}"><tspan class="title">${escapeXml(title)}</tspan><tspan class="note"> (${better} is better)</tspan></text>`
  return [head, ...lines].join('\n')
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
