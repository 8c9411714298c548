// Column heads become buttons that sort their table; without this script the tables keep the order they were written in.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  heads.forEach((head, column) => {
    // Chromium repeats a head on every printed page unless it holds a real <button>.
    const button = document.createElement("span");
    button.setAttribute("role", "button");
    button.tabIndex = 0;
    button.textContent = head.textContent;
    head.replaceChildren(button);
    const isNumber = head.classList.contains("n");
    const valueOf = (row) => {
      const text = row.cells[column].textContent;
      return isNumber ? parseFloat(text.replaceAll(",", "")) : text;
    };
    const sort = () => {
      const rises = head.ariaSort ? head.ariaSort === "descending" : !isNumber;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", rises ? "ascending" : "descending");
      const keyed = [...body.rows].map((row) => [valueOf(row), row]);
      keyed.sort(([a], [b]) => (rises ? 1 : -1) * (isNumber ? a - b : a.localeCompare(b)));
      body.append(...keyed.map(([, row]) => row));
    };
    button.addEventListener("click", sort);
    button.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      sort();
    });
  });
}
