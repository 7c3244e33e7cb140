// Prints rows of text in columns. Called by the commands that list things.

/** Numbers to the right, text to the left; the header is the first row. */
export function formatTable(rows: readonly (readonly (string | number)[])[]): string[] {
  const cells = rows.map((row) => row.map((cell) => oneLine(String(cell))))
  const widths = cells[0].map((_, column) => Math.max(...cells.map((row) => row[column].length)))
  const isNumber = widths.map((_, column) => rows.slice(1).every((row) => typeof row[column] === 'number'))
  return cells.map((row) =>
    row
      .map((cell, column) => (isNumber[column] ? cell.padStart(widths[column]) : cell.padEnd(widths[column])))
      .join('  ')
      .trimEnd(),
  )
}

/** Queue names come from clients: none may move the cursor of whoever lists them. */
function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]/gu, '\ufffd')
}
