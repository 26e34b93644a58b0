# Sums up what ctest wrote with --output-junit, in cases rather than programs: a test whose output
# closes as cmocka, pytest, tcltest or "N passed, N failed" do counts with the cases in it, any
# other as one.  Prints "PASSED FAILED SKIPPED", then a line for every skip with its reason.
#
# With -v failed=1 it prints instead the failed tests, each with the end of its output; with -v
# brief=N as well, with at most N lines of it, those that tell what failed; with -v whole=1, with
# all of it.

function attribute(name, rest) {
  if (!match($0, "[ \t]" name "=\"[^\"]*\"")) return ""
  rest = substr($0, RSTART, RLENGTH)
  sub(/^[^"]*"/, "", rest)
  sub(/"$/, "", rest)
  return rest
}

function plain(text) {
  gsub(/&lt;/, "<", text)
  gsub(/&gt;/, ">", text)
  gsub(/&quot;/, "\"", text)
  gsub(/&apos;/, "'", text)
  gsub(/&amp;/, "\\&", text)
  return text
}

# The number before a word in a line such as "12 passed, 1 skipped in 0.3s"; 0 if it is not there.
function before(word, line) {
  if (!match(line, "[0-9]+ " word "([^a-z]|$)")) return 0
  return substr(line, RSTART) + 0
}

function skip(reason) { skips[++nskips] = "skipped: " name ": " reason }

function read_line(line) {
  if (line ~ /^\[  (PASSED  |FAILED  |SKIPPED )\] [0-9]+ test\(s\)/) { # cmocka
    split(line, words, /\] /)
    if (line ~ /PASSED/) p += words[2]
    if (line ~ /FAILED/) f += words[2]
    if (line ~ /SKIPPED/) s += words[2]
    counted = 1
  } else if (line ~ /^\[  SKIPPED \] [A-Za-z_]/) {
    sub(/^\[  SKIPPED \] /, "", line)
    # cmocka names a skipped case where it happens and again at its end.
    if (!((name, line) in seen)) {
      seen[name, line] = 1
      skip(line (said == "" || said ~ /^\[/ ? "" : " (" said ")"))
    }
    return
  } else if (line ~ /^=* ?[0-9]+ [a-z]+.* in [0-9.]+s( \([0-9:]+\))? ?=*$/) { # pytest
    p += before("passed", line)
    f += before("failed", line) + before("error", line) + before("errors", line)
    s += before("skipped", line) + before("xfailed", line)
    counted = 1
  } else if (line ~ /^SKIPPED \[[0-9]+\] /) { # pytest -rs
    sub(/^SKIPPED /, "", line)
    skip(line)
  } else if (line ~ /:\tTotal\t[0-9]+\tPassed\t/) { # tcltest
    split(line, words, "\t")
    p += words[5]
    s += words[7]
    f += words[9]
    counted = 1
  } else if (line ~ /^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$/) {
    p += before("passed", line)
    f += before("failed", line)
    s += before("skipped", line)
    counted = 1
  }
  if (line != "") said = line
}

function end_test() {
  if (status == "run") {
    # A test that is meant to fail may well print failures of its own.
    if (counted && f == 0) passed += p
    else passed++
    if (counted && f == 0) skipped += s
  } else if (status == "disabled") {
    skipped++
    skip("disabled")
  } else if (status == "notrun" && message ~ /^SKIP_/) {
    skipped++
    skip(said == "" ? message : said)
  } else {
    passed += p
    skipped += s
    failed_cases += f > 0 ? f : 1
    if (failed) {
      print name ":" (message == "" ? "" : " " message)
      if (brief) {
        told = 0
        for (i = 1; i <= lines && told < brief; i++)
          if (output[i] ~ /\.c:[0-9]+: |does not hold|[Ee]rror|assert|check_trace|FAILED|: [A-Z][A-Za-z]+Sanitizer/) {
            print "  | " substr(output[i], 1, 200)
            told++
          }
        if (told) return
      }
      first = lines > 60 && !whole ? lines - 59 : 1
      if (brief && lines > brief) first = lines - brief + 1
      for (i = first; i <= lines; i++) print "  | " output[i]
    }
  }
}

/^\t<testcase / {
  name = plain(attribute("name"))
  status = attribute("status")
  message = said = ""
  p = f = s = counted = lines = inside = 0
}
/^\t\t<(skipped|failure) message=/ && !inside { message = plain(attribute("message")) }
/^\t\t<system-out>/ && !inside {
  inside = 1
  sub(/^\t\t<system-out>/, "")
}
inside {
  closing = sub(/<\/system-out>$/, "")
  text = plain($0)
  if (!closing || text != "") output[++lines] = text
  read_line(text)
  if (closing) inside = 0
}
/^\t<\/testcase>/ { end_test() }

END {
  if (failed) exit
  print passed + 0, failed_cases + 0, skipped + 0
  for (i = 1; i <= nskips; i++) print skips[i]
}
