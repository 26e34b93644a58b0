package main

func rows() map[string]row {
	all := map[string]row{}
	for _, table := range []map[string]row{callRows, switchRows, syncRows, handoffRows, blockRows, echoRows, manyRows, watchRows} {
		for name, row := range table {
			all[name] = row
		}
	}
	return all
}
