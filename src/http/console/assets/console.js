// What makes every page of the console better than it is without scripts. Nothing here is needed
// for an act: forms do those.
"use strict";

// Moments are written in UTC; here they are shown in the reader's zone, as wide as before, and UTC
// stays where one points.
const pad = (number) => String(number).padStart(2, "0");

function local(moment) {
  const day = [moment.getFullYear(), pad(moment.getMonth() + 1), pad(moment.getDate())].join("-");
  return `${day} ${[moment.getHours(), moment.getMinutes(), moment.getSeconds()].map(pad).join(":")}`;
}

function localize(within) {
  for (const time of within.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    if (!Number.isNaN(moment.getTime())) time.textContent = local(moment);
  }
}

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "your zone";
localize(document);
document.getElementById("zone").textContent = `Times are in ${zone}; point at one for UTC.`;

// An act asks in a dialog. Its button stands where the summary stood.
for (const details of document.querySelectorAll("details.act")) {
  const form = details.querySelector("form");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button";
  button.textContent = details.querySelector("summary").textContent.trim();
  button.setAttribute("aria-haspopup", "dialog");
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-labelledby", form.getAttribute("aria-labelledby"));
  dialog.append(form);
  const place = document.createElement("div");
  place.className = details.className;
  place.append(button, dialog);
  details.replaceWith(place);
  button.addEventListener("click", () => dialog.showModal());
  const cancel = form.querySelector(".cancel");
  cancel.hidden = false;
  cancel.addEventListener("click", () => dialog.close());
  if (details.open) dialog.showModal();
}

// An end is asked for in the reader's zone and sent in UTC.
for (const input of document.querySelectorAll("input[type=datetime-local]")) {
  const label = document.querySelector(`label[for="${input.id}"] .zone`);
  if (label) label.textContent = `(${zone}; empty: never)`;
  if (input.value) input.value = local(new Date(`${input.value}Z`)).replace(" ", "T");
  const sent = document.createElement("input");
  sent.type = "hidden";
  sent.name = input.name;
  input.removeAttribute("name");
  input.after(sent);
  input.form.addEventListener("submit", () => {
    sent.value = input.value ? new Date(input.value).toISOString().slice(0, 19) : "";
  });
}

// Whoever comes from another site is signed in without having shown it.
const goOn = document.getElementById("go-on");
if (goOn) {
  fetch("/session", { headers: { accept: "application/json" } }).then((answer) => {
    if (answer.ok) location.replace(goOn.href);
  });
}

// Many at once: how many are picked stands on the button, and is asked for once more.
const bulk = document.getElementById("bulk");
const bulkButton = bulk && bulk.querySelector("button[data-verb]");
if (bulkButton) {
  const picks = [...bulk.querySelectorAll("input[name=pick]")];
  const all = document.createElement("input");
  all.type = "checkbox";
  all.setAttribute("aria-label", "Pick all");
  bulk.querySelector("thead th").replaceChildren(all);
  const label = bulkButton.textContent;
  const show = () => {
    const picked = picks.filter((pick) => pick.checked).length;
    bulkButton.textContent = picked ? `${bulkButton.dataset.verb} ${picked}` : label;
    bulkButton.disabled = picked === 0;
    all.checked = picked === picks.length;
    all.indeterminate = picked > 0 && picked < picks.length;
  };
  all.addEventListener("change", () => {
    for (const pick of picks) pick.checked = all.checked;
    show();
  });
  bulk.addEventListener("change", show);
  bulk.addEventListener("submit", (event) => {
    const picked = picks.filter((pick) => pick.checked).length;
    const word = picked === 1 ? "customer" : "customers";
    if (!confirm(`${bulkButton.dataset.verb} ${picked} ${word}?`)) event.preventDefault();
  });
  show();
}

// A customer's page follows what others do, and what ends by itself: it is loaded anew, unless
// somebody is about to act.
const customer = document.getElementById("customer");
if (customer && customer.dataset.revision) {
  const { id, tenant, revision, status } = customer.dataset;
  const headers = tenant ? { "Tenant-ID": tenant } : {};
  const look = async () => {
    const isBusy = document.activeElement?.matches("input, select, textarea");
    if (document.hidden || isBusy || document.querySelector("dialog[open]")) return;
    const answer = await fetch(`/v1/customers/${encodeURIComponent(id)}`, { headers });
    if (answer.status === 401) return location.reload();
    if (!answer.ok) return undefined;
    const now = await answer.json();
    if (now.revision !== revision || now.status !== status) {
      const url = new URL(location.href);
      url.searchParams.delete("done");
      // With it, nothing would be loaded.
      url.hash = "";
      location.replace(url);
    }
    return undefined;
  };
  const ends = [...document.querySelectorAll(".ends")].map((it) => Date.parse(it.dataset.at));
  const next = Math.min(...ends.filter((end) => end > Date.now())) - Date.now();
  if (next < 2 ** 31) setTimeout(() => look().catch(() => {}), next + 300);
  setInterval(() => look().catch(() => {}), 5000);
}
