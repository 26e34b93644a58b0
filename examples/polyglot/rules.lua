-- What becomes of a record.  A user's script: change it, and run again.
--
-- It gets one package of the input as a table of fields and gives the row that is stored, or nil
-- for none.

return function(record)
  local size = tonumber(record["Installed-Size"] or 0)
  if not record.Package or record.Package:find "^lib.*%-dbg$" then return nil end
  local depends = 0
  for _ in (record.Depends or ""):gmatch "[^,]+" do depends = depends + 1 end
  return {
    name = record.Package,
    section = (record.Section or "none"):gsub("^.*/", ""),
    kind = size < 100 and "small" or size < 10000 and "medium" or "large",
    kib = math.tointeger(size) or 0,
    depends = depends,
  }
end
