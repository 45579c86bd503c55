"use strict";
(() => {
  const all = (where, what) => [...where.querySelectorAll(what)];
  const root = document.documentElement;

  // Light or dark, as the system has it until somebody chooses.
  const theme = document.getElementById("theme");
  const dark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const name = () => {
    theme.textContent = dark() ? "light" : "dark";
    theme.setAttribute("aria-label", `Change to ${theme.textContent} colours`);
  };
  try { const kept = localStorage.getItem("theme"); if (kept === "dark" || kept === "light") root.dataset.theme = kept; } catch { /* a page from disk may have no storage */ }
  theme.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* as above */ }
    name();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
  name();
  theme.hidden = false;

  for (const board of all(document, ".board")) {
    const table = board.querySelector(".scores"), form = board.querySelector(".controls"), frame = board.querySelector(".frame");
    const said = form.querySelector(".said"), left = form.querySelector(".left"), find = form.querySelector(".find");
    const bodies = [...table.tBodies], heads = [...table.tHead.rows[0].cells], rows = all(table, "tbody tr");
    const kinds = all(form, ".kind"), columns = all(form, ".column");
    let order = "";

    // Sorting: a head's first press puts the best row first, the next one turns the order round.
    const value = (row, place) => {
      const text = row.cells[place].dataset.v;
      return text === undefined ? null : Number(text);
    };
    const sort = (place, up) => {
      for (const body of bodies) {
        const sorted = [...body.rows].sort((a, b) => {
          if (place === 0) return (up ? 1 : -1) * a.dataset.label.localeCompare(b.dataset.label);
          const [x, y] = [value(a, place), value(b, place)];
          if (x === null || y === null) return (x === null) - (y === null);
          return up ? x - y : y - x;
        });
        body.append(...sorted);
      }
      heads.forEach((head, other) => {
        if (other === place) head.setAttribute("aria-sort", up ? "ascending" : "descending");
        else head.removeAttribute("aria-sort");
      });
    };
    heads.forEach((head, place) => {
      const text = head.querySelector("span.sort");
      if (!text) return;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...text.childNodes);
      text.replaceWith(button);
      button.addEventListener("click", () => {
        const now = head.getAttribute("aria-sort");
        const up = now ? now === "descending" : head.dataset.better !== "high";
        sort(place, up);
        order = `sorted by ${button.textContent.replace(/[\s↑↓]+/g, " ").trim()}, ${up ? "lowest" : "highest"} first`;
        if (place === 0) order = `sorted by name, ${up ? "A to Z" : "Z to A"}`;
        tell();
      });
    });

    // Rows by name and kind.
    const filter = () => {
      const text = find.value.trim().toLowerCase();
      const wanted = new Set(kinds.filter((each) => each.checked).map((each) => each.value));
      for (const row of rows) row.hidden = !wanted.has(row.dataset.role) || !row.dataset.label.toLowerCase().includes(text);
      tell();
    };
    find.addEventListener("input", filter);
    kinds.forEach((each) => each.addEventListener("change", filter));
    form.addEventListener("submit", (event) => event.preventDefault());

    // Columns: as many as fit, and the others behind a box to tick.
    const show = (chosen) => {
      columns.forEach((each, number) => {
        each.checked = chosen(number);
        const place = number + 2;
        heads[place].hidden = !each.checked;
        for (const row of rows) row.cells[place].hidden = !each.checked;
      });
      tell();
    };
    const fit = () => {
      show(() => true);
      const room = frame.clientWidth - heads[0].offsetWidth - heads[1].offsetWidth - heads.at(-1).offsetWidth;
      let used = 0, count = 0;
      for (; count < columns.length; count += 1) {
        used += heads[count + 2].offsetWidth;
        if (used > room) break;
      }
      const most = Math.max(count, Math.min(4, columns.length));
      show((number) => number < most);
    };
    columns.forEach((each) => each.addEventListener("change", () => show((number) => columns[number].checked)));
    form.querySelector(".all").addEventListener("click", () => show(() => true));
    form.querySelector(".fit").addEventListener("click", fit);
    board.showAll = () => show(() => true);
    board.chosen = () => columns.map((each) => each.checked);
    board.choose = (kept) => show((number) => kept[number]);

    const tell = () => {
      const shown = rows.filter((row) => !row.hidden).length, seen = columns.filter((each) => each.checked).length;
      left.textContent = `(${seen} of ${columns.length})`;
      said.textContent = [shown < rows.length ? `${shown} of ${rows.length} rows` : "", order].filter(Boolean).join(", ");
    };
    form.hidden = false;
    fit();
  }

  // Choosing columns ends with Escape, or elsewhere.
  for (const each of all(document, ".choose")) {
    each.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !each.open) return;
      each.open = false;
      each.querySelector("summary").focus();
    });
    document.addEventListener("click", (event) => { if (!each.contains(event.target)) each.open = false; });
  }

  // Commands to the clipboard.
  for (const button of all(document, ".copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "copied";
      } catch {
        getSelection().selectAllChildren(code);
        button.textContent = "selected";
      }
      setTimeout(() => { button.textContent = "copy"; }, 1500);
    });
  }

  // Only one sound at a time.
  document.addEventListener("play", (event) => {
    for (const sound of all(document, "audio")) if (sound !== event.target) sound.pause();
  }, true);

  // On paper everything is there, and afterwards it is as it was.
  let before = [];
  addEventListener("beforeprint", () => {
    const closed = all(document, "details:not([open])"), boards = all(document, ".board").map((board) => [board, board.chosen()]);
    closed.forEach((each) => { each.open = true; });
    boards.forEach(([board]) => board.showAll());
    before = [() => closed.forEach((each) => { each.open = false; }), ...boards.map(([board, kept]) => () => board.choose(kept))];
  });
  addEventListener("afterprint", () => { before.forEach((undo) => undo()); before = []; });
})();
