# SPDX-License-Identifier: MIT
"""What many_hosts.py makes of what happened."""
import collections
import signal
import statistics

from many_hosts_world import Thread, bare, expiry

# token: whose renewal was under way
Disturbance = collections.namedtuple("Disturbance", "name token begin end")


class Verdict:
    """Reads what happened."""

    def __init__(self, story, readers, log, begin, end):
        self.story, self.readers, self.log = story, readers, log
        self.begin, self.end = begin, end
        self.pace = story.pace
        self.turns = [turn for host in story.refreshers for turn in host.turns]
        self.disturbances = list(story.disturbances)
        self.is_slow = story.is_slow
        self.problems = {"double": [], "starved": [], "recovery": [], "surprises": list(Thread.crashes)}
        self.figures, self.troubles = [], []
        self.renewals = collections.defaultdict(list)  # token -> requests
        for entry in log:
            if entry["endpoint"] == "refresh":
                entry["authorization"] = dict(entry["headers"])["Authorization"]
                self.renewals[bare(entry["authorization"])].append(entry)
        self.published = story.observer.seen

    def figure(self, text, *values):
        self.figures.append(text % values)

    def good_until(self, token):
        """When it was sent to be renewed, or its end."""
        sent = self.renewals.get(token)
        return min(sent[0]["time"] if sent else float("inf"), expiry(token))

    def judge(self):
        self.judge_renewals()
        self.judge_gaps()
        self.judge_readers()
        self.judge_turns()

    def judge_renewals(self):
        disturbed = {each.token for each in self.story.disturbances}
        lost = late = 0
        for token, requests in self.renewals.items():
            times = ", ".join("%.2f %s" % (each["time"], each["status"]) for each in requests)
            if sum(each["status"] == 200 for each in requests) > 1:
                self.problems["double"].append("a token was renewed more than once: " + times)
            again = requests[1:]
            if not again:
                continue
            lost += 1
            failed = [turn for turn in self.turns
                      if turn.code != 0 and turn.begin < requests[0]["time"] < turn.end]
            if token not in disturbed and failed:  # out of time: a lost answer, or a failed publication
                late += 1
                self.is_slow = True
                self.disturbances.append(Disturbance("a renewal was out of time", token, failed[0].begin,
                                                     failed[0].end))
            elif token not in disturbed:
                self.problems["double"].append("a token was sent again, though nothing was broken: " + times)
            if len({each["authorization"] for each in again}) < len(again):
                self.problems["double"].append("a spent token was sent again by more than one: " + times)
        logins = [each for each in self.log if each["endpoint"] == "login"]
        extra = len(logins) - 1
        if any(each["status"] != 200 for each in logins) or extra > len(self.disturbances):
            self.problems["surprises"].append("%d logins, with statuses %s" % (
                len(logins), sorted({each["status"] for each in logins})))
        self.figure("%d s, tokens of %d s: %d renewed; %d spent ones sent once more by the next refresher, %d of "
                    "them because this machine was slow; %d logins, the first included", self.end - self.begin,
                    self.pace.token, sum(each[0]["status"] == 200 for each in self.renewals.values()), lost, late,
                    len(logins))

    def judge_gaps(self):
        """While no token that is published is good."""
        gaps, good_until = [], None
        for seen, token in self.published:
            if good_until is not None and seen > good_until:
                gaps.append((good_until, seen))
            good_until = max(good_until or 0, self.good_until(token))
        ordinary = list(gaps)
        for each in self.disturbances:
            after = [seen for seen, token in self.published
                     if seen > each.end and self.good_until(token) > seen]
            took = after[0] - each.end if after else float("inf")
            # Even then a lock that could not be given back is there until its lease ends.
            reach = each.end + max(took, self.pace.lease)
            self.troubles.append((each.begin, reach))
            following = min([other.begin for other in self.disturbances if other.begin > each.begin] + [float("inf")])
            caused = [gap for gap in gaps if gap[0] < reach and each.begin < gap[1] <= following]
            over = max([each.end + took] + [end for _, end in caused]) - each.end
            if over > self.pace.recovery and each.end < self.end - self.pace.recovery:
                self.problems["recovery"].append("%s: %.1f s" % (each.name, over))
            without = sum(end - begin for begin, end in caused)
            ordinary = [gap for gap in ordinary if gap not in caused]
            spent, logins = self.cost(each.begin, following)
            self.figure("%s: a good token published %s later; none for %.1f s in all; spent in vain: %d, logins: %d",
                        each.name, "%.1f s" % took if after else "no more", without, spent, logins)
        lengths = [end - begin for begin, end in ordinary] or [0]
        if max(lengths) > self.pace.ordinary_gap:
            self.problems["recovery"].append("%.1f s from spending to publication" % max(lengths))
        self.figure("from spending to publication otherwise: median %.2f s, at most %.2f s",
                    statistics.median(lengths), max(lengths))

    def cost(self, begin, end):
        """Tokens whose renewal was sent from shortly before until the next disturbance, and whose successor nobody
        got; logins."""
        first = [each for requests in self.renewals.values() if len(requests) > 1 for each in requests[:1]]
        return (sum(begin - self.pace.timeout < each["time"] < end - self.pace.timeout for each in first),
                sum(each["endpoint"] == "login" and begin < each["time"] < end for each in self.log))

    def judge_readers(self):
        calls = [call for reader in self.readers for call in reader.calls if call.end < self.end]
        reasons = collections.Counter()
        for call in calls:
            if call.why:
                reasons[self.excuse(call)] += 1
        self.figure("%d readers: %d calls; %d asked again, which helped %d; failed %d%s", len(self.readers),
                    len(calls), sum(call.asked_again is not None for call in calls),
                    sum(call.asked_again is not None and not call.why for call in calls), sum(reasons.values()),
                    "".join("; %s: %d" % each for each in reasons.most_common()))

    def excuse(self, call):
        """Why it could not be helped that a reader failed. If it could, that is a problem."""
        is_down = self.story.engine.was_down(call.begin, call.end)
        if call.first and self.good_until(call.first) > call.end:
            self.problems["starved"].append("refused with a good token of its own: " + call.why)
        could = any(seen < call.asked_again and self.good_until(token) > call.end
                    for seen, token in self.published)
        if could and not is_down:
            self.problems["starved"].append("a good token was published: " + call.why)
        if is_down:
            return "etcd down"
        if any(begin < call.end and end > call.begin for begin, end in self.troubles):
            return "no good token published after a kill or a stop"
        return "no good token published, an ordinary renewal was under way"

    def judge_turns(self):
        codes = collections.Counter(turn.code for turn in self.turns)
        said = collections.Counter()
        for _, _, code, text in self.turns:
            if code not in (0, -signal.SIGKILL):
                lines = [line for line in text.splitlines() if line.startswith("servetel-auth: ")]
                said[lines[-1][15:] if lines else "etcdctl: no turn in time" if code == 124 else text[-200:]] += 1
        self.figure("%d turns; exit statuses %s", len(self.turns),
                    ", ".join("%d: %d" % each for each in sorted(codes.items())))
        for line, count in said.most_common():
            self.figure("%d said: %s", count, line.replace("\n", " "))
