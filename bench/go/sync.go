package main

import (
	"fmt"
	"os"
	"sync"
	"time"
)

const contenders = 8

// loopSelect receives by a select over four channels, to which a goroutine sends in turn.
func loopSelect(n int) time.Duration {
	var four [4]chan int64
	for i := range four {
		four[i] = make(chan int64)
	}
	done := make(chan struct{})
	go func() {
		for i := int64(0); i < int64(n); i++ {
			four[i%4] <- i
		}
		close(done)
	}()
	sum := int64(0)
	start := time.Now()
	for i := 0; i < n; i++ {
		select {
		case value := <-four[0]:
			sum += value
		case value := <-four[1]:
			sum += value
		case value := <-four[2]:
			sum += value
		case value := <-four[3]:
			sum += value
		}
	}
	elapsed := time.Since(start)
	if sum != int64(n)*(int64(n)-1)/2 {
		fmt.Fprintf(os.Stderr, "gobench: what was received adds up to %d\n", sum)
		os.Exit(1)
	}
	<-done
	return elapsed
}

func loopMutex(n int) time.Duration {
	each := (n + contenders - 1) / contenders
	counter := 0
	var mutex sync.Mutex
	var group sync.WaitGroup
	group.Add(contenders)
	start := time.Now()
	for i := 0; i < contenders; i++ {
		go func() {
			for i := 0; i < each; i++ {
				mutex.Lock()
				counter++
				mutex.Unlock()
			}
			group.Done()
		}()
	}
	group.Wait()
	elapsed := time.Since(start)
	if counter != each*contenders {
		fmt.Fprintf(os.Stderr, "gobench: the counter is %d\n", counter)
		os.Exit(1)
	}
	return time.Duration(float64(elapsed) * float64(n) / float64(each*contenders))
}

var syncRows = map[string]row{
	"select.four.w1": {"ns", 1, loopRow(loopSelect)},
	"select.four.w2": {"ns", 2, loopRow(loopSelect)},
	"mutex.eight.w1": {"ns", 1, loopRow(loopMutex)},
	"mutex.eight.w2": {"ns", 2, loopRow(loopMutex)},
}
