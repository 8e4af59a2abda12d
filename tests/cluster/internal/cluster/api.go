package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// callLimit bounds every HTTP call: a node whose raft group has died may not answer.
const callLimit = 3 * time.Second

// Bytes of an answer that are read at the most.
const answerBytes = 64 << 20

// Codes of success in the answers of master, datanode and metanode.
var success = map[int]bool{0: true, http.StatusOK: true, http.StatusSeeOther: true}

// call asks a node of CubeFS and fills result with the data of its answer, which is {code, msg, data}.
func call(address string, query url.Values, result any) error {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, answerBytes))
	if err != nil {
		return err
	}
	var answer struct {
		Code int             `json:"code"`
		Msg  string          `json:"msg"`
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return fmt.Errorf("%s: HTTP %d: %.200s", address, response.StatusCode, text)
	}
	if !success[answer.Code] {
		return fmt.Errorf("%s: %s", address, answer.Msg)
	}
	if result == nil {
		return nil
	}
	if len(answer.Data) == 0 {
		return errors.New(address + ": an answer without data")
	}
	return json.Unmarshal(answer.Data, result)
}
